"""The earliest of the copies stays, and each dropped row names the row that stays."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ft_assets.curation.duplicates import Copy, find_copies
from ft_assets.curation.signatures import sign
from ft_assets.recipe_data import Curation
from ft_assets.sources.example import Example, Message, to_table
from ft_assets_tests.curation.rows import chat, gram_set, jaccard, words


def copies_in(
    rows: list[Example], earlier: list[Example], threshold: float = 0.8, semantic: float | None = None
) -> dict[int, Copy]:
    recipe = Curation(near_duplicate_jaccard=threshold, semantic_similarity=semantic)
    return find_copies(_signed(rows, recipe), [_signed([row], recipe) for row in earlier], recipe)


def _signed(rows: list[Example], recipe: Curation) -> pa.Table:
    return sign(to_table(rows), recipe)


def test_exact_copies_of_this_batch_and_of_earlier_ones_are_dropped() -> None:
    old, new = chat("Old?", "Old answer."), chat("New?", "New answer.")
    assert copies_in([new, old, new], [old]) == {
        1: Copy("exact_duplicate", old.id, 1.0),
        2: Copy("exact_duplicate", new.id, 1.0),
    }


def test_near_copies_name_their_similarity() -> None:
    first, second = chat(words(0, 40), "Right."), chat(words(0, 40) + " more", "Right.")
    (copy,) = copies_in([first, second], []).values()
    assert (copy.reason, copy.of) == ("near_duplicate", first.id)
    assert copy.similarity == pytest.approx(
        39 / 40
    )  # 38 grams of the prompt and 1 of the answer, and a new one
    assert copy.detail == f"of {first.id}, similarity {copy.similarity:.3f}"


def test_a_chain_of_small_changes_is_not_swallowed_whole() -> None:
    chain = [chat(words(start, 40), "Right.") for start in (0, 3, 6)]
    assert copies_in(chain, []).keys() == {1}


def test_an_exact_copy_of_a_dropped_near_copy_names_the_row_that_stays() -> None:
    first, second = chat(words(0, 40), "Right."), chat(words(1, 40), "Right.")
    copies = copies_in([first, second, second], [])
    assert {index: copy.of for index, copy in copies.items()} == {1: first.id, 2: first.id}


def test_a_correction_with_another_answer_to_a_known_prompt_stays() -> None:
    seed = chat("Name the capital of Australia.", "The capital of Australia is the city of Sydney.")
    correction = chat(
        "Name the capital of Australia.",
        "Canberra, a planned city between Sydney and Melbourne.",
        kind="correction",
    )
    assert copies_in([correction], [seed]) == {}


def test_rows_that_differ_in_case_or_space_are_copies() -> None:
    first = chat("Hello  there, my good friend", "Good day to you.")
    assert copies_in([chat("Hello there, my good friend", "Good day to you.")], [first])
    assert copies_in([chat("hello there, my good friend", "good day to you.")], [first])


_rows = st.builds(
    lambda prompt, answer: chat(" ".join(prompt), " ".join(answer)),
    st.lists(st.sampled_from(["red", "green", "blue", "grey"]), min_size=1, max_size=5),
    st.lists(st.sampled_from(["one", "two"]), min_size=1, max_size=2),
)


@settings(max_examples=150)
@given(st.lists(_rows, max_size=12), st.lists(_rows, max_size=4), st.sampled_from([0.4, 0.8]))
def test_every_dropped_row_has_a_like_row_that_stays_and_no_two_like_rows_stay(
    rows: list[Example], earlier: list[Example], threshold: float
) -> None:
    copies = copies_in(rows, earlier, threshold)
    kept = [row for index, row in enumerate(rows) if index not in copies]
    stay = {row.id: row for row in [*earlier, *kept]}
    assert all(alike(rows[index], stay[copy.of]) >= threshold for index, copy in copies.items())
    for index, row in enumerate(kept):
        assert all(alike(row, other) < threshold for other in [*kept[:index], *earlier])


def alike(a: Example, b: Example) -> float:
    """The lower similarity of the two parts."""
    return min(
        jaccard(gram_set(a.prompt), gram_set(b.prompt)), jaccard(gram_set(a.answer), gram_set(b.answer))
    )


def test_a_house_answer_to_many_prompts_is_no_duplicate() -> None:
    answer = words(500, 80)
    assert copies_in([chat(words(start, 6), answer) for start in range(0, 60, 6)], []) == {}


def test_a_short_other_answer_to_a_long_known_prompt_stays() -> None:
    assert copies_in([chat(words(0, 200), "Yes.", kind="correction")], [chat(words(0, 200), "No.")]) == {}


def test_a_correction_stays_before_the_row_that_came_first() -> None:
    seed, correction = chat(words(0, 40), words(90, 20)), chat(words(0, 40), words(90, 21), kind="correction")
    assert {index: copy.of for index, copy in copies_in([seed, correction], []).items()} == {0: correction.id}


def test_rows_that_differ_in_what_was_liked_are_no_copies() -> None:
    lost = [Message(role="assistant", content=words(start, 10)) for start in (100, 200)]
    rows = [chat(words(0, 20), words(50, 10), rejected=turn) for turn in lost]
    rows += [chat(words(0, 20), words(50, 10), desirable=liked) for liked in (True, False)]
    assert copies_in(rows, []).keys() <= {2}  # liked by KTO is as good as an answer; disliked is another row


def test_the_same_meaning_in_other_words_is_a_duplicate_only_where_asked_for() -> None:
    rows = [
        chat("How do I reset my password?", "Open the settings page and choose reset."),
        chat("How can I reset my password?", "Open the settings page, then choose reset."),
        chat("What does the premium plan cost?", "It is nine euros a month."),
    ]
    assert copies_in(rows, [], 0.9) == {}
    (copy,) = copies_in(rows, [], 0.9, semantic=0.8).values()
    assert (copy.reason, copy.of) == ("semantic_duplicate", rows[0].id)
    assert copies_in(rows[1:], rows[:1], 0.9, semantic=0.8)[0].of == rows[0].id
