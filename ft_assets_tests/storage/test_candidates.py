"""Candidates, records and releases: opened once, read back as they were."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from ft_assets.errors import Refused, WrongInput
from ft_assets.recipe import Recipe
from ft_assets.storage.candidates import get_candidate, list_candidates, open_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, artifact_of, find_record, write_record
from ft_assets.storage.releases import find_release, list_releases
from ft_assets.storage.tables import candidates, records


def test_candidate_comes_back_as_it_was_opened(home: Home, recipe: Recipe) -> None:
    opened = open_candidate(home, recipe, ["b2", "b1"], "tiny@abc", ["new data", "drift"])
    assert re.fullmatch(r"\d{8}T\d{4}-[0-9a-f]{8}", opened.key)
    assert (opened.batches, opened.incumbent) == (("b1", "b2"), "tiny@abc")
    assert (opened.recipe, opened.reasons) == (recipe, ("new data", "drift"))
    assert get_candidate(Home(home.root), "tiny", opened.key) == opened


def test_same_attempt_is_opened_once(home: Home, recipe: Recipe) -> None:
    first = open_candidate(home, recipe, ["b1", "b2"], None, ["first"])
    assert open_candidate(home, recipe, ["b2", "b1"], None, ["second"]) == first
    assert list_candidates(home, "tiny") == [first]


def test_other_batches_incumbent_or_recipe_are_other_candidates(home: Home, recipe: Recipe) -> None:
    other = recipe.model_copy(update={"training": recipe.training.model_copy(update={"seed": 1})})
    keys = {
        open_candidate(home, recipe, ["b1"], None, []).key,
        open_candidate(home, recipe, ["b1", "b2"], None, []).key,
        open_candidate(home, recipe, ["b1"], "tiny@abc", []).key,
        open_candidate(home, other, ["b1"], None, []).key,
    }
    assert len(keys) == len(list_candidates(home, "tiny")) == 4


def test_opening_at_once_opens_one(home: Home, recipe: Recipe) -> None:
    home.database  # noqa: B018
    with ThreadPoolExecutor(8) as pool:
        opened = set(pool.map(lambda _: open_candidate(home, recipe, ["b1"], None, []).key, range(16)))
    assert len(opened) == len(home.database.rows(sa.select(candidates))) == 1


def test_models_do_not_share_candidates(home: Home, recipe: Recipe) -> None:
    open_candidate(home, recipe, ["b1"], None, [])
    other = open_candidate(home, recipe.model_copy(update={"model": "other"}), ["b1"], None, [])
    assert list_candidates(home, "other") == [other]


def test_unknown_candidate_says_who_opens_them(home: Home) -> None:
    with pytest.raises(Refused, match="candidates are opened by tiny/retrain_decision"):
        get_candidate(home, "tiny", "20260101T0000-00000000")


def test_latest_record_counts_and_earlier_ones_stay(home: Home) -> None:
    digests = [home.artifacts.write("reports", lambda f, n=n: (f / "x").write_text(str(n))) for n in range(2)]
    for digest in digests:
        write_record(home, Record("tiny", "dataset", "c1", "reports", digest))
    write_record(home, Record("tiny", "dataset", "c2", "reports", digests[0]))
    found = find_record(home, "tiny", "dataset", "c1")
    assert found and found.digest == digests[1]
    assert artifact_of(home, "tiny", "dataset", "c1") == (
        digests[1],
        home.artifacts.path("reports", digests[1]),
    )
    assert len(home.database.rows(sa.select(records))) == 3


def test_asset_never_materialized_is_refused_by_name(home: Home) -> None:
    assert find_record(home, "tiny", "dataset", "c1") is None
    with pytest.raises(Refused, match="tiny/dataset was never materialized for c1; materialize it first"):
        artifact_of(home, "tiny", "dataset", "c1")


def test_unknown_release_is_wrong_input(home: Home) -> None:
    assert list_releases(home) == []
    with pytest.raises(WrongInput, match="no release tiny@abc"):
        find_release(home, "tiny@abc")
