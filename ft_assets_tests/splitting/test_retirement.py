"""Rows that something trained on judge nothing any more, and the verdicts they had a part in say so."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from ft_assets.errors import WrongInput
from ft_assets.recipe import Recipe
from ft_assets.sources.example import Example, to_table
from ft_assets.splitting.contamination import Match, search, trained_rows
from ft_assets.splitting.retirement import fit_to_judge, marks, retire, retired
from ft_assets.storage.candidates import Candidate, open_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.tables import retired_rows
from ft_assets_tests.splitting.rows import store_rows, unrelated
from ft_assets_tests.splitting.test_contamination import release, store_splits

ROWS = unrelated(8)
HELD_OUT = ROWS[6:]


def open_judged(
    home: Home, recipe: Recipe, number: int, train: list[Example], incumbent: str | None
) -> tuple[Candidate, str]:
    """A candidate that was trained on `train`, judged with HELD_OUT, and released."""
    candidate = open_candidate(home, recipe, [f"b{number}"], incumbent, ["test"])
    store_splits(home, candidate, train, [])
    store_rows(home, to_table(HELD_OUT), "eval_split", candidate.key)
    return candidate, release(home, candidate, f"{number}" * 12)


def found(home: Home, candidate: Candidate) -> list[Match]:
    return search(to_table(HELD_OUT), trained_rows(home, candidate), 0.5)


def test_a_dirty_row_is_retired_once_and_leaves_the_eval_rows(home: Home, recipe: Recipe) -> None:
    candidate, _ = open_judged(home, recipe, 1, [*ROWS[:3], HELD_OUT[0]], None)
    assert retire(home, candidate, found(home, candidate)) == 1
    assert retire(home, candidate, found(home, candidate)) == 0
    assert retired(home, "default") == {HELD_OUT[0].id}
    assert fit_to_judge(home, "default", to_table(HELD_OUT))["id"].to_pylist() == [HELD_OUT[1].id]
    assert fit_to_judge(home, "another", to_table(HELD_OUT)).num_rows == 2
    disliked = [
        row.model_copy(update={"desirable": liked}) for liked in (None, True, False) for row in HELD_OUT
    ]
    assert fit_to_judge(home, "another", to_table(disliked)).num_rows == 4
    (row,) = home.database.rows(sa.select(retired_rows))
    assert (row["trained_by"], row["found_by"], row["kind"]) == (candidate.key, candidate.key, "exact")


def test_verdicts_of_descendants_are_marked_and_those_of_strangers_are_not(
    home: Home, recipe: Recipe
) -> None:
    clean, _ = open_judged(home, recipe, 1, ROWS[:3], None)
    dirty, address = open_judged(home, recipe, 2, [ROWS[4], HELD_OUT[0]], None)
    child, _ = open_judged(home, recipe, 3, [ROWS[5]], address)
    retire(home, child, found(home, child))
    marked = marks(home, recipe.model)
    assert {mark["candidate"] for mark in marked} == {dirty.key, child.key}
    assert all(mark["example"] == HELD_OUT[0].id and dirty.key in mark["reason"] for mark in marked)
    assert clean.key not in {mark["candidate"] for mark in marked}


def test_nothing_is_retired_for_nothing(home: Home, recipe: Recipe) -> None:
    candidate, _ = open_judged(home, recipe, 1, ROWS[:3], None)
    assert retire(home, candidate, []) == 0
    assert marks(home, recipe.model) == []


def test_what_a_base_declares_is_searched_too(home: Home, recipe: Recipe, tmp_path: Path) -> None:
    turns = [turn.model_dump(include={"role", "content"}) for turn in HELD_OUT[1].messages]
    (tmp_path / "declared.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    declared = {"kind": "file", "path": str(tmp_path / "declared.jsonl"), "license": "MIT"}
    base = recipe.base.model_validate({**recipe.base.model_dump(), "trained_on": [declared]})
    candidate, _ = open_judged(home, recipe.model_copy(update={"base": base}), 1, ROWS[:3], None)
    (match,) = found(home, candidate)
    assert (match.eval_id, match.trained_by) == (HELD_OUT[1].id, "base:tiny-random")
    retire(home, candidate, [match])
    assert [mark["candidate"] for mark in marks(home, recipe.model)] == [candidate.key]


def test_a_declared_set_that_is_not_there_is_an_error(home: Home, recipe: Recipe, tmp_path: Path) -> None:
    declared = {"kind": "file", "path": str(tmp_path / "gone.jsonl"), "license": "MIT"}
    base = recipe.base.model_validate({**recipe.base.model_dump(), "trained_on": [declared]})
    candidate, _ = open_judged(home, recipe.model_copy(update={"base": base}), 1, ROWS[:3], None)
    with pytest.raises(WrongInput, match="no such file"):
        trained_rows(home, candidate)
