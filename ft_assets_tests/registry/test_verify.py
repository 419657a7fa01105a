"""A receipt vouches for every byte behind a candidate: whatever is changed is named."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from ft_assets.errors import Refused, WrongInput
from ft_assets.evaluation.receipts import issue_receipt
from ft_assets.recipe import Recipe
from ft_assets.registry.releases import release
from ft_assets.registry.verify import verify
from ft_assets.storage.home import Home
from ft_assets.storage.records import find_record
from ft_assets.storage.releases import Release
from ft_assets.storage.tables import candidates, receipts, releases
from ft_assets_tests.registry.attempts import attempt, hold, passed

_ASSETS = {
    "adapter": "adapter",
    "base": "base_models",
    "dataset": "dataset",
    "eval": "eval_split",
    "report": "eval_report",
}


@pytest.fixture
def made(home: Home, recipe: Recipe) -> Release:
    return release(home, recipe.model, passed(home, recipe, "one").key)


def wrong(home: Home, name: str) -> dict[str, str]:
    return {check.what: check.found for check in verify(home, name) if not check.sound}


def folder(home: Home, made: Release, what: str) -> Path:
    names = ("base_models", "tiny-random", "") if what == "base" else ("tiny", _ASSETS[what], made.candidate)
    record = find_record(home, *names)
    assert record is not None
    return home.artifacts.path(record.kind, record.digest)


def test_a_release_is_sound_by_either_of_its_names(home: Home, made: Release) -> None:
    checks = verify(home, made.address)
    assert all(check.sound for check in checks)
    assert [check.what for check in checks] == [
        *("receipt", "adapter", "base", "dataset", "eval", "report", "recipe", "scores", "verdict", "release")
    ]
    assert verify(home, f"tiny@{made.candidate}") == checks


@pytest.mark.parametrize("what", _ASSETS)
def test_one_flipped_bit_is_named(home: Home, made: Release, what: str) -> None:
    file = sorted(path for path in folder(home, made, what).rglob("*") if path.is_file())[0]
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    found = wrong(home, made.address)
    assert "no longer match" in found.pop(what)
    assert set(found) <= {"scores"}  # a report that is not sound has no scores to compare with


@pytest.mark.parametrize("what", _ASSETS)
def test_bytes_swapped_for_other_sound_ones_are_named(home: Home, made: Release, what: str) -> None:
    model, partition = ("base_models", "") if what == "base" else ("tiny", made.candidate)
    asset = "tiny-random" if what == "base" else _ASSETS[what]
    kinds = {"adapter": "adapters", "base": "bases", "report": "reports"}
    hold(home, model, asset, partition, kinds.get(what, "datasets"), {"other": "bytes"})  # type: ignore[arg-type]
    assert set(wrong(home, made.address)) == {what}


def test_a_missing_artifact_is_named(home: Home, made: Release) -> None:
    home.artifacts.remove("adapters", made.adapter_digest)
    assert "is not in" in wrong(home, made.address)["adapter"]


def test_another_recipe_is_named(home: Home, made: Release, recipe: Recipe) -> None:
    other = recipe.model_copy(update={"owner": "team:other"}).model_dump(mode="json")
    change(home, sa.update(candidates).values(recipe=other))
    assert set(wrong(home, made.address)) == {"recipe"}


def test_scores_that_the_report_does_not_have_are_named(home: Home, recipe: Recipe) -> None:
    candidate, body = attempt(home, recipe, "one")
    issue_receipt(home, {**body, "scores": {**body["scores"], "candidate": {"loss": 1.0}}})
    assert set(wrong(home, f"tiny@{candidate.key}")) == {"scores"}


def test_a_forged_receipt_is_named(home: Home, made: Release) -> None:
    row = home.database.row(sa.select(receipts))
    assert row is not None
    forged = json.dumps({**json.loads(row["body"]), "reasons": ["believe me"]})
    change(home, sa.update(receipts).values(body=forged))
    assert set(wrong(home, made.address)) == {"receipt"}


def test_a_release_of_other_bytes_than_its_receipt_is_named(home: Home, made: Release) -> None:
    change(home, sa.update(releases).values(base_digest="0" * 64))
    assert "base_digest" in wrong(home, made.address)["release"]


def test_who_was_never_judged_or_is_not_there_is_refused(home: Home, recipe: Recipe) -> None:
    candidate, _ = attempt(home, recipe, "one")
    with pytest.raises(Refused, match="never judged"):
        verify(home, f"tiny@{candidate.key}")
    with pytest.raises(WrongInput, match=candidate.key):
        verify(home, "tiny@nobody")
    with pytest.raises(WrongInput, match="none yet"):
        verify(home, "nobody")


def change(home: Home, statement: sa.Update) -> None:
    with home.database.write() as connection:
        connection.execute(statement)
