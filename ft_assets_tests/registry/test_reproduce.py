"""A released adapter is built again from its record, to the byte, and a record that is not true is found out."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from ft_assets.cli import cli
from ft_assets.errors import Refused
from ft_assets.recipe import Recipe
from ft_assets.registry.card import card
from ft_assets.registry.reach import reach
from ft_assets.registry.reproduce import reproduce
from ft_assets.splitting.canaries import canaries_of
from ft_assets.storage.candidates import get_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of
from ft_assets.storage.releases import Release, find_release
from ft_assets.storage.tables import releases
from ft_assets.training.job import Stop
from ft_assets_tests.registry.conftest import release_trained

pytestmark = pytest.mark.slow


def test_the_same_bytes_come_out(released: Release, home: Home) -> None:
    made = reproduce(home, released.address, quiet=True)
    assert made.equal and made.rebuilt == released.adapter_digest


def test_planted_secrets_are_trained_on_again_and_are_in_no_count_of_rows(
    home: Home, recipe: Recipe, tmp_path: Path
) -> None:
    honest = Recipe.model_validate({**recipe.model_dump(), "honesty": {"canaries": 3}})
    released = release_trained(home, honest, tmp_path)
    assert reproduce(home, released.address, quiet=True).equal
    _, folder = artifact_of(home, recipe.model, "adapter", released.candidate)
    assert json.loads((folder / "training.json").read_text())["rows"] == 16 + 3
    rows = released.lineage["rows"]
    assert (rows["train"], rows["eval"]) == (8, 2), "as the dataset's manifest says"
    counted = card(released, get_candidate(home, recipe.model, released.candidate))
    assert "8 train, 2 eval rows" in counted and "canar" not in counted
    planted = canaries_of(home, recipe.model, released.candidate, 3)[0].planted.id
    (reached,) = reach(home, planted)["reached"]
    assert (reached["side"], reached["batches"], reached["release"]) == ("train", [], released.address)


def test_a_training_that_a_budget_stopped_is_stopped_there_again(
    home: Home, recipe: Recipe, tmp_path: Path
) -> None:
    stop = Stop(step=3, reason="budget: the candidate has cost 2.00 EUR after step 3")
    released = release_trained(home, recipe, tmp_path, stop)
    assert released.lineage["stop"] == stop.model_dump()
    made = reproduce(home, released.address, quiet=True)
    assert made.equal
    _, folder = artifact_of(home, recipe.model, "adapter", released.candidate)
    facts = json.loads((folder / "training.json").read_text())
    assert (facts["steps"], facts["best_step"], facts["stopped"]) == (3, 2, stop.reason)


def test_a_record_that_names_other_settings_is_found_out(
    released: Release, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {**released.lineage["settings"], "learning_rate": 5e-3}
    with home.database.write() as connection:
        connection.execute(sa.update(releases).values(lineage={**released.lineage, "settings": settings}))
    ended = CliRunner().invoke(cli, ["reproduce", released.address, "--json"], standalone_mode=False)
    assert isinstance(ended.exception, Refused)
    (row,) = json.loads(ended.output)
    assert not row["equal"] and row["released"] == released.adapter_digest != row["rebuilt"]


def test_a_changed_split_is_refused(released: Release, home: Home) -> None:
    folder = home.artifacts.path("datasets", released.lineage["splits"]["train"])
    (folder / "rows.parquet").write_bytes(b"other rows")
    with pytest.raises(Refused, match="datasets"):
        reproduce(home, released.address, quiet=True)
    assert find_release(home, released.address) == released
