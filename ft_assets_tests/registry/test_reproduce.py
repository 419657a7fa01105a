"""A released adapter is built again from its record, to the byte, and a record that is not true is found out."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from ft_assets.bases.base_models import prepare_base
from ft_assets.cli import cli
from ft_assets.errors import Refused
from ft_assets.evaluation.receipts import issue_receipt
from ft_assets.recipe import Recipe
from ft_assets.registry.releases import release
from ft_assets.registry.reproduce import reproduce
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, artifact_of, write_record
from ft_assets.storage.releases import Release, find_release
from ft_assets.storage.tables import releases
from ft_assets.training.job import prepare_job
from ft_assets_tests.registry.attempts import attempt
from ft_assets_tests.training.conftest import examples, run_here, write_split

pytestmark = pytest.mark.slow


@pytest.fixture
def released(home: Home, recipe: Recipe, tmp_path: Path) -> Release:
    """A candidate whose adapter was really trained, on the real tiny base."""
    base, _ = prepare_base(home, recipe.base)
    candidate, body = attempt(home, recipe, "real")
    write_record(home, Record("base_models", recipe.base.name, "", "bases", base))
    for side, count, offset in (("train", 16, 0), ("validation", 4, 100)):
        _, folder = write_split(tmp_path / side, examples(count, offset))
        digest = home.artifacts.adopt("datasets", folder)
        write_record(home, Record(recipe.model, f"{side}_split", candidate.key, "datasets", digest))
    adapter = _train(home, candidate)
    issue_receipt(home, {**body, "adapter_digest": adapter, "base_digest": base})
    return release(home, recipe.model, candidate.key)


def test_the_same_bytes_come_out(released: Release, home: Home) -> None:
    made = reproduce(home, released.address, quiet=True)
    assert made.equal and made.rebuilt == released.adapter_digest


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


def _train(home: Home, candidate: Candidate) -> str:
    sources = (
        artifact_of(home, candidate.model, f"{side}_split", candidate.key) for side in ("train", "validation")
    )
    job = prepare_job(home, candidate, *sources)
    run_here(job)
    digest = home.artifacts.adopt("adapters", job.output)
    write_record(home, Record(candidate.model, "adapter", candidate.key, "adapters", digest))
    return digest
