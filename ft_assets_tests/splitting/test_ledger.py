"""The split ledger's promise: a side once, for ever, and no copy on another side."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ft_assets.errors import Refused
from ft_assets.recipe_data import Splitting
from ft_assets.sources.example import Example, to_table
from ft_assets.splitting.ledger import assign, plan
from ft_assets.splitting.pages import Place, append, read_ledger
from ft_assets.splitting.passages import read_passages
from ft_assets.storage.home import Home
from ft_assets.storage.tables import records, split_ledger
from ft_assets_tests.curation.rows import gram_set, jaccard
from ft_assets_tests.postgres import about_sqlite
from ft_assets_tests.splitting.rows import by_id, changed, example, unrelated

HALVES = Splitting(validation=0.0, eval=0.5)


def on_both_sides(home: Home, split: Splitting = HALVES) -> tuple[Example, Example]:
    """A row that the ledger put in train, and one that it put in eval."""
    rows = unrelated(24, seed=7)
    sides = by_id(assign(home, to_table(rows), split))
    return tuple(next(row for row in rows if sides[row.id] == side) for side in ("train", "eval"))


def half_of_each(one: Example, other: Example) -> str:
    """A question that is a near-copy of both."""
    return f"{one.prompt} {other.prompt}"


def test_columns_are_added_and_nothing_else_changes(home: Home) -> None:
    table = to_table(unrelated(5))
    split = assign(home, table, Splitting())
    assert split.select(table.column_names).equals(table)
    assert split.column_names == [*table.column_names, "cluster", "side"]


def test_assigning_again_gives_the_same_and_writes_nothing(home: Home) -> None:
    table = to_table(unrelated(20))
    first = assign(home, table, Splitting())
    before = home.database.rows(sa.select(split_ledger)), home.database.rows(sa.select(records))
    assert assign(home, table, Splitting()).equals(first)
    assert before == (home.database.rows(sa.select(split_ledger)), home.database.rows(sa.select(records)))


def test_shares_come_out_as_the_recipe_asks_in_every_slice(home: Home) -> None:
    rows = [
        row.model_copy(update={"slice": name})
        for name, row in zip(["big"] * 200 + ["small"] * 20 + ["tiny"] * 3, unrelated(223), strict=True)
    ]
    split = assign(home, to_table(rows), Splitting(validation=0.1, eval=0.2))
    counts = Counter(zip(split["slice"].to_pylist(), split["side"].to_pylist(), strict=True))
    assert (counts["big", "eval"], counts["big", "validation"]) == (40, 20)
    assert (counts["small", "eval"], counts["small", "validation"]) == (4, 2)
    assert counts["tiny", "eval"] == 1  # 44.6 of all are wanted, and it is owed most


def test_shares_hold_over_many_slices_of_one_row_and_over_small_arrivals(home: Home) -> None:
    rows = [row.model_copy(update={"slice": f"s{number}"}) for number, row in enumerate(unrelated(60))]
    for start in range(0, 60, 4):
        assign(home, to_table(rows[start : start + 4]), Splitting(validation=0.1, eval=0.2))
    sides = Counter(row["side"] for row in home.database.rows(sa.select(split_ledger)))
    assert sides == {"train": 42, "eval": 12, "validation": 6}


def test_rows_of_one_group_stay_together_by_column_strategy(home: Home) -> None:
    split = HALVES.model_copy(update={"strategy": "column"})
    rows = [
        row.model_copy(update={"group": f"customer{number % 8}"}) for number, row in enumerate(unrelated(64))
    ]
    sides: dict[str, set[str]] = {}
    for start in range(0, 64, 16):
        table = assign(home, to_table(rows[start : start + 16]), split)
        for group, side in zip(table["group"].to_pylist(), table["side"].to_pylist(), strict=True):
            sides.setdefault(group, set()).add(side)
    assert {len(found) for found in sides.values()} == {1}
    assert Counter(side for (side,) in sides.values()) == {"train": 4, "eval": 4}


def test_a_plan_is_what_an_empty_ledger_would_deal_and_writes_nothing(home: Home) -> None:
    table = to_table([*unrelated(30), unrelated(1)[0]])
    planned = plan(table, HALVES, home.key("split-ledger"))
    assert home.database.rows(sa.select(split_ledger)) == []
    assert planned.equals(assign(home, table, HALVES))


@about_sqlite
def test_secret_and_ledger_name_decide_the_sides(home: Home, tmp_path: Path) -> None:
    table = to_table(unrelated(64))
    sides = assign(home, table, HALVES)["side"]
    assert assign(home, table, HALVES.model_copy(update={"ledger": "other"}))["side"] != sides
    assert assign(Home(tmp_path / "elsewhere"), table, HALVES)["side"] != sides


def test_changed_shares_move_no_row_that_was_dealt(home: Home) -> None:
    table = to_table(unrelated(40))
    before = assign(home, table, Splitting(eval=0.1))
    assert assign(home, table, Splitting(eval=0.7)).equals(before)


@pytest.mark.parametrize("index", [0, 1], ids=["train", "eval"])
def test_copy_that_arrives_later_inherits_side_and_cluster(home: Home, index: int) -> None:
    old = on_both_sides(home)[index]
    copies = [
        example(changed(old.prompt, [4]), old.answer, minute=-99),
        example(old.prompt, "Another answer altogether."),
        example(f"{unrelated(1, words=80, seed=5)[0].prompt} {old.prompt}"),
    ]
    split = assign(home, to_table(copies), HALVES)
    assert set(split["side"].to_pylist()) == {("train", "eval")[index]}
    assert set(split["cluster"].to_pylist()) == {old.id}


def test_copy_of_two_rows_on_one_side_is_not_quarantined(home: Home) -> None:
    rows = unrelated(24, seed=7)
    sides = by_id(assign(home, to_table(rows), HALVES))
    first, second = [row for row in rows if sides[row.id] == "train"][:2]
    split = assign(home, to_table([example(half_of_each(second, first))]), HALVES)
    assert split["side"].to_pylist() == ["train"]
    assert split["cluster"].to_pylist() == [first.id]


def test_row_touching_both_sides_is_quarantined_for_ever(home: Home) -> None:
    train, held_out = on_both_sides(home)
    bridge = to_table([example(half_of_each(train, held_out))])
    first = assign(home, bridge, HALVES)
    assert first["side"].to_pylist() == ["quarantine"]
    assert assign(home, bridge, HALVES).equals(first)


def test_new_rows_that_join_two_sides_only_together_are_quarantined(home: Home) -> None:
    train, held_out = on_both_sides(home)
    link = unrelated(1, seed=9)[0].prompt
    near_train, near_eval = example(f"{train.prompt} {link}"), example(f"{held_out.prompt} {link}")
    sides = by_id(assign(home, to_table([near_train, near_eval]), HALVES))
    assert sides == {near_train.id: "quarantine", near_eval.id: "quarantine"}


def test_copy_of_a_quarantined_row_is_quarantined(home: Home) -> None:
    bridge = example(half_of_each(*on_both_sides(home)))
    assign(home, to_table([bridge]), HALVES)
    copy = example(changed(bridge.prompt, [0]))
    split = assign(home, to_table([copy]), HALVES)
    assert (split["side"].to_pylist(), split["cluster"].to_pylist()) == (["quarantine"], [bridge.id])


def test_models_that_share_a_ledger_share_sides_even_for_copies(home: Home) -> None:
    # Nothing but the ledger connects the two calls: no dataset of the first model was ever recorded.
    rows = unrelated(30)
    copies = [example(changed(row.prompt, [2]), row.answer) for row in rows]
    first = assign(home, to_table(rows), HALVES)
    assert assign(home, to_table(copies), HALVES)["side"] == first["side"]


def test_row_given_twice_in_one_table_has_one_place(home: Home) -> None:
    row = unrelated(1)[0]
    split = assign(home, to_table([row, row]), HALVES)
    assert len(set(split["side"].to_pylist())) == 1
    assert len(home.database.rows(sa.select(split_ledger))) == 1


def test_empty_table_is_left_empty(home: Home) -> None:
    assert assign(home, to_table([]), HALVES).num_rows == 0


def test_writing_a_row_a_second_time_fails_and_writes_nothing(home: Home) -> None:
    passages = read_passages(assign(home, to_table(unrelated(1)), HALVES))
    (id,) = passages.ids
    known = read_ledger(home, "default")
    moved = Place(id, "train" if known.places[id].side == "eval" else "eval")
    with pytest.raises(sa.exc.IntegrityError):
        append(home, "default", known.version, passages, {id: moved})
    again = read_ledger(home, "default")
    assert (again.version, again.places, again.passages.ids) == (known.version, known.places, [id])


def test_append_after_another_append_is_refused(home: Home) -> None:
    version = read_ledger(home, "default").version
    assign(home, to_table(unrelated(3)), HALVES)
    late = read_passages(to_table([example("too late")]))
    (id,) = late.ids
    assert append(home, "default", version, late, {id: Place(id, "train")}) is False
    assert id not in read_ledger(home, "default").places


def test_assigned_rows_without_their_words_stop_the_split(home: Home) -> None:
    assign(home, to_table(unrelated(3)), HALVES)
    with home.database.write() as connection:
        connection.execute(sa.delete(records).where(records.c.model == "split-ledger"))
    with pytest.raises(Refused, match="3 rows whose words it no longer has"):
        assign(home, to_table(unrelated(3, seed=1)), HALVES)


def test_changed_words_of_the_ledger_stop_the_split(home: Home) -> None:
    assign(home, to_table(unrelated(3)), HALVES)
    (page,) = Path(home.root).glob("datasets/*/passages.parquet")
    page.write_bytes(page.read_bytes()[::-1])
    with pytest.raises(Refused, match="was changed"):
        assign(home, to_table(unrelated(3, seed=1)), HALVES)


def test_models_splitting_copies_at_once_agree(home: Home) -> None:
    originals = unrelated(30)
    versions = [
        to_table([example(changed(row.prompt, [place]), row.answer) for row in originals])
        for place in range(4)
    ]
    home.database  # noqa: B018 - migrate before the race, which is about the ledger
    with ThreadPoolExecutor(4) as pool:
        splits = list(pool.map(lambda table: assign(Home(home.root), table, HALVES), versions))
    assert all(split["side"] == splits[0]["side"] for split in splits)


def test_time_strategy_holds_the_latest_clusters_out(home: Home) -> None:
    rows = unrelated(20)
    random.Random(0).shuffle(rows)
    split = assign(home, to_table(rows), Splitting(strategy="time", validation=0.1, eval=0.2))
    in_order = [
        side
        for _, side in sorted(zip(split["created_at"].to_pylist(), split["side"].to_pylist(), strict=True))
    ]
    assert in_order == ["train"] * 14 + ["validation"] * 2 + ["eval"] * 4


def test_time_strategy_keeps_copies_together_on_the_later_side(home: Home) -> None:
    rows = unrelated(10)
    late = example(changed(rows[0].prompt, [1]), rows[0].answer, minute=99)
    sides = by_id(assign(home, to_table([*rows, late]), Splitting(strategy="time", validation=0.0, eval=0.1)))
    assert [id for id, side in sides.items() if side == "eval"] == [rows[0].id, late.id]


def test_time_strategy_leaves_earlier_sides_alone_and_keeps_the_shares(home: Home) -> None:
    split = Splitting(strategy="time", validation=0.1, eval=0.2)
    rows = unrelated(60)
    seen: dict[str, str] = {}
    for start in range(0, 60, 3):
        seen |= by_id(assign(home, to_table(rows[start : start + 3]), split))
    assert by_id(assign(home, to_table(rows), split)) == seen
    assert Counter(seen.values()) == {"train": 42, "validation": 6, "eval": 12}


words = st.lists(st.sampled_from("abcdefgh"), min_size=3, max_size=9).map(" ".join)
arrivals = st.lists(
    st.lists(st.tuples(words, st.integers(-3, 3)), min_size=1, max_size=6), min_size=1, max_size=5
)


@pytest.mark.slow
@given(arrivals=arrivals, strategy=st.sampled_from(["hash", "time"]))
@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_pair_on_two_sides_and_no_side_ever_changes(
    home: Home, arrivals: list[list[tuple[str, int]]], strategy: str
) -> None:
    # A ledger of its own for every example; few words, so that copies, chains and bridges abound.
    name = f"ledger-{len({row['ledger'] for row in home.database.rows(sa.select(split_ledger))})}"
    split = Splitting(ledger=name, strategy=strategy, validation=0.2, eval=0.4, cluster_jaccard=0.5)
    seen: dict[str, str] = {}
    texts: dict[str, str] = {}
    for arrival in arrivals:
        rows = [example(question, "q r s t u v w", minute) for question, minute in arrival]
        table = to_table(rows)
        texts |= {row.id: f"{row.prompt} {row.answer}" for row in rows}
        sides = by_id(assign(home, table, split))
        assert all(seen.get(id, side) == side for id, side in sides.items())
        seen |= sides
    everything = by_id(assign(home, rows_of(arrivals), split))
    assert everything == seen
    assert not list(pairs_on_two_sides(seen, texts, 0.5))


def rows_of(arrivals: list[list[tuple[str, int]]]) -> pa.Table:
    return to_table(
        [example(question, "q r s t u v w", minute) for rows in arrivals for question, minute in rows]
    )


def pairs_on_two_sides(sides: dict[str, str], texts: dict[str, str], at_least: float):
    used = [(id, gram_set(texts[id])) for id, side in sides.items() if side != "quarantine"]
    for id, grams in used:
        for other, theirs in used:
            if sides[id] != sides[other] and jaccard(grams, theirs) >= at_least:
                yield id, other
