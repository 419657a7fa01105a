"""The search for rows that a model was both trained on and judged with."""

import time

import pyarrow as pa
import pytest

from ft_assets.errors import Refused
from ft_assets.recipe import Recipe
from ft_assets.recipe_data import Splitting
from ft_assets.sources.example import EXAMPLE_SCHEMA, Example, to_table
from ft_assets.splitting.contamination import search, trained_rows
from ft_assets.splitting.dataset import take_side
from ft_assets.splitting.ledger import assign
from ft_assets.storage.candidates import Candidate, open_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.tables import receipts, releases
from ft_assets_tests.splitting.rows import START, changed, example, store_rows, unrelated

INSTRUCTION = (
    "Write the one line docstring of this Python function in the house style of the standard library."
)


def kinds(held_out: list[Example], trained: list[Example], jaccard: float = 0.5) -> list[str]:
    return [match.kind for match in search(to_table(held_out), to_table(trained), jaccard)]


def test_unrelated_rows_do_not_match() -> None:
    rows = unrelated(60)
    assert kinds(rows[:20], rows[20:]) == []


@pytest.mark.parametrize("rows", [([], unrelated(3)), (unrelated(3), []), ([], [])])
def test_nothing_matches_nothing(rows: tuple[list[Example], list[Example]]) -> None:
    assert kinds(*rows) == []


def test_same_row_is_an_exact_match_that_says_where_it_came_from() -> None:
    row = unrelated(1)[0]
    trained = [*unrelated(5, seed=1), row.model_copy(update={"source": "leak.jsonl", "batch": "b7"})]
    (match,) = search(to_table([row]), to_table(trained), 0.5)
    assert (match.eval_id, match.trained_id) == (row.id, row.id)
    assert (match.kind, match.similarity) == ("exact", 1.0)
    assert (match.trained_source, match.trained_batch) == ("leak.jsonl", "b7")


@pytest.mark.parametrize(
    ("question", "answer"),
    [("WHAT  is\n a b?", "Yes."), ("What is a b?", "No, never."), ("What is a b?", "Yes.")],
    ids=["case and space", "another answer", "compatibility forms"],
)
def test_same_text_or_question_is_exact(question: str, answer: str) -> None:
    assert kinds([example("What is a b?", "Yes.")], [example(question, answer)], 0.99) == ["exact"]


def test_near_copy_matches_from_its_similarity_on() -> None:
    row = unrelated(1)[0]
    copy = example(changed(row.prompt, [5, 6]), row.answer)
    (match,) = search(to_table([row]), to_table([copy]), 0.5)
    assert match.kind == "near" and 0.5 < match.similarity < 1
    assert kinds([row], [copy], match.similarity + 0.01) == ["edit"]


def test_a_copy_with_a_third_of_its_words_changed_is_found_and_one_with_half_is_not() -> None:
    row = unrelated(1, words=60)[0]
    third, half = (example(changed(row.prompt, range(0, 60, step)), row.answer) for step in (3, 2))
    assert kinds([row], [third]) == ["edit"]
    assert kinds([row], [half]) == []


def test_question_embedded_in_a_longer_one_is_found() -> None:
    row = unrelated(1)[0]
    before, after = (other.prompt for other in unrelated(2, words=200, seed=3))
    wrapped = example(f"{before}\n> {row.prompt.upper()}\n{after}")
    assert kinds([row], [wrapped]) == ["ngram"]


def test_question_copied_into_a_trained_answer_is_found() -> None:
    row, other = unrelated(1)[0], unrelated(1, words=90, seed=3)[0]
    assert kinds([row], [example("Repeat.", f"{other.prompt} {row.prompt}")]) == ["ngram"]


def test_shared_instruction_is_no_evidence() -> None:
    rows = [example(f"{INSTRUCTION}\n\n{row.prompt}", row.answer) for row in unrelated(100, words=40)]
    assert kinds(rows[:20], rows[20:]) == []


def test_embedded_question_is_found_behind_a_shared_instruction_and_however_often_it_was_repeated() -> None:
    rows = [example(f"{INSTRUCTION}\n\n{row.prompt}", row.answer) for row in unrelated(100)]
    held_out, trained = rows[:20], rows[20:]
    wrappings = unrelated(90, words=100, seed=4)
    leaked = held_out[3].prompt.removeprefix(INSTRUCTION)
    trained += [example(f"{row.prompt} {leaked} {row.answer}") for row in wrappings]
    matches = search(to_table(held_out), to_table(trained), 0.5)
    assert {match.eval_id for match in matches} == {held_out[3].id}
    assert len(matches) == 90


def test_short_answers_are_no_evidence_and_long_ones_are() -> None:
    left, right = unrelated(2)
    short = "Return the length."
    long = (
        "Return the number of items that the queue holds, those not yet acknowledged by any reader included."
    )
    assert kinds([example(left.prompt, short)], [example(right.prompt, short)]) == []
    assert kinds([example(left.prompt, long)], [example(right.prompt, long)]) == ["answer"]


def test_long_answer_given_to_many_eval_rows_is_boilerplate() -> None:
    refusal = (
        "I am sorry, but I cannot help with that request, as it asks for something that may hurt people."
    )
    rows = [example(row.prompt, refusal) for row in unrelated(40)]
    assert kinds(rows[:10], rows[10:]) == []


def test_copies_within_one_eval_cluster_do_not_hide_a_leak_as_boilerplate() -> None:
    rows = unrelated(10)
    copy = example(changed(rows[0].prompt, [1]), rows[0].answer)
    clusters = pa.array([row.id for row in rows] + [rows[0].id])
    held_out = to_table([*rows, copy]).append_column("cluster", clusters)
    wrapped = example(f"{unrelated(1, words=99, seed=5)[0].prompt} {rows[0].prompt}")
    assert {match.eval_id for match in search(held_out, to_table([wrapped]), 0.5)} == {rows[0].id, copy.id}


def test_strongest_kind_is_named_once_for_a_pair() -> None:
    row = unrelated(1)[0]
    assert kinds([row], [row, row.model_copy(update={"source": "again"})]) == ["exact", "exact"]


def test_what_the_ledger_split_is_never_contaminated(home: Home) -> None:
    rows = unrelated(80)
    dirty = [
        *rows,
        *(example(changed(row.prompt, [3, 4]), row.answer) for row in rows[:20]),
        *(example(row.prompt, "Another answer.") for row in rows[20:40]),
        *(
            example(f"{other.prompt} {row.prompt}")
            for row, other in zip(rows[40:60], unrelated(20, 90, 2), strict=True)
        ),
    ]
    split = assign(home, to_table(dirty), Splitting(validation=0.2, eval=0.4))
    trained = pa.concat_tables([take_side(split, "train"), take_side(split, "validation")])
    assert search(take_side(split, "eval"), trained, 0.5) == []


@pytest.mark.slow
def test_thousands_of_trained_rows_are_searched_in_seconds() -> None:
    rows = [example(f"{INSTRUCTION}\n\n{row.prompt}", row.answer) for row in unrelated(5_500, words=60)]
    held_out, trained = rows[:500], [*rows[500:], rows[0]]
    tables = to_table(held_out), to_table(trained)
    start = time.process_time()
    (match,) = search(*tables, 0.5)
    assert match.eval_id == rows[0].id
    assert time.process_time() - start < 40


def release(home: Home, candidate: Candidate, digest: str) -> str:
    """Enter a release of the candidate, as the registry would; returns its address."""
    address = f"{candidate.model}@{digest}"
    same = {"model": candidate.model, "candidate": candidate.key}
    receipt = {"id": digest, "verdict": "pass", "body": "{}", "signature": "", "issued_at": START, **same}
    values = {
        "address": address,
        "adapter_digest": digest,
        "base_digest": "0",
        "receipt": digest,
        "lineage": {},
    }
    with home.database.write() as connection:
        connection.execute(receipts.insert().values(receipt))
        connection.execute(releases.insert().values({**values, "released_at": START, **same}))
    return address


def store_splits(home: Home, candidate: Candidate, train: list[Example], validation: list[Example]) -> None:
    store_rows(home, to_table(train), "train_split", candidate.key)
    store_rows(home, to_table(validation), "validation_split", candidate.key)


def test_trained_rows_are_those_of_the_candidate_and_every_ancestor(home: Home, recipe: Recipe) -> None:
    rows = unrelated(7)
    incumbent = None
    for number in range(3):
        candidate = open_candidate(home, recipe, [f"b{number}"], incumbent, ["test"])
        store_splits(home, candidate, [rows[0], rows[2 * number + 1]], [rows[2 * number + 2]])
        incumbent = release(home, candidate, f"{number}" * 12)
    trained = trained_rows(home, candidate)
    assert trained.column_names == [*EXAMPLE_SCHEMA.names, "trained_by"]
    assert set(trained["id"].to_pylist()) == {row.id for row in rows}
    assert trained.num_rows == 7
    assert trained["trained_by"].to_pylist()[0] == candidate.key


def test_ancestor_whose_splits_are_missing_is_refused(home: Home, recipe: Recipe) -> None:
    first = open_candidate(home, recipe, ["b0"], None, ["test"])
    second = open_candidate(home, recipe, ["b1"], release(home, first, "a" * 12), ["test"])
    store_splits(home, second, unrelated(2), unrelated(1, seed=3))
    with pytest.raises(Refused, match=f"train_split was never materialized for {first.key}"):
        trained_rows(home, second)


def test_a_body_that_many_trained_rows_share_is_no_edited_copy() -> None:
    answers = {
        "remove": "Remove the keyed message; raise KeyError if it doesn't exist.",
        "get_message": "Return a Message representation or raise a KeyError.",
        "get_bytes": "Give back what was stored, byte for byte, under this name.",
        "get_file": "Open a file-like view of one entry for reading only.",
        "lock": "Wait until nobody else holds it, then keep others away.",
        "flush": "Write whatever is still pending to disk before going on.",
        "close": "Let go of every open handle; later calls do nothing.",
    }
    remove, get_message, *others = (
        example(
            f"Write the one-line docstring of this Python function.\n\ndef {name}(self, key):\n"
            "    raise NotImplementedError('Method must be implemented by subclass')",
            answer,
        )
        for name, answer in answers.items()
    )
    assert search(to_table([remove]), to_table([get_message, *others]), 0.5) == []
    # Two of them alone are alike, and nothing says that what they share is boilerplate.
    assert [match.kind for match in search(to_table([remove]), to_table([get_message]), 0.5)] == ["edit"]
