"""The re-check of a dataset's sides."""

import pyarrow as pa

from ft_assets.recipe_data import Splitting
from ft_assets.sources.example import to_table
from ft_assets.splitting.ledger import assign
from ft_assets.splitting.proof import find_touching
from ft_assets.storage.home import Home
from ft_assets_tests.splitting.rows import changed, example, unrelated

SPLIT = Splitting(validation=0.0, eval=0.5)


def with_sides(table: pa.Table, sides: list[str]) -> pa.Table:
    return table.set_column(table.column_names.index("side"), "side", pa.array(sides))


def test_what_the_ledger_dealt_touches_nothing(home: Home) -> None:
    rows = unrelated(40)
    copies = [example(changed(row.prompt, [3]), row.answer) for row in rows]
    assert find_touching(home, assign(home, to_table([*rows, *copies]), SPLIT), SPLIT) == []


def test_row_on_another_side_than_the_ledger_says_is_named(home: Home) -> None:
    dataset = assign(home, to_table(unrelated(10)), SPLIT)
    sides = dataset["side"].to_pylist()
    sides[4] = "train" if sides[4] == "eval" else "eval"
    (touch,) = find_touching(home, with_sides(dataset, sides), SPLIT)
    assert touch.id == dataset["id"][4].as_py() and touch.side == sides[4]
    assert touch.reason.startswith("ledger 'default' says")


def test_row_that_the_ledger_never_saw_is_named(home: Home) -> None:
    dataset = assign(home, to_table(unrelated(3)), SPLIT)
    other = SPLIT.model_copy(update={"ledger": "other"})
    assert len(find_touching(home, dataset, other)) == 3


def test_near_copies_on_two_sides_are_named_but_not_quarantined_ones(home: Home) -> None:
    row = unrelated(1)[0]
    pair = to_table([row, example(changed(row.prompt, [3]), row.answer)])
    dataset = assign(home, pair, SPLIT)
    apart = find_touching(home, with_sides(dataset, ["train", "eval"]), SPLIT)
    assert any("similarity" in touch.reason for touch in apart)
    put_aside = find_touching(home, with_sides(dataset, ["train", "quarantine"]), SPLIT)
    assert not any("similarity" in touch.reason for touch in put_aside)
