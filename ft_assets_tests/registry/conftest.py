"""A release with a real adapter behind it."""

from pathlib import Path

import pytest

from ft_assets.bases.base_models import prepare_base
from ft_assets.evaluation.receipts import issue_receipt
from ft_assets.recipe import Recipe
from ft_assets.registry.releases import release
from ft_assets.sources.example import Example
from ft_assets.splitting.canaries import canaries_of
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, artifact_of, write_record
from ft_assets.storage.releases import Release
from ft_assets.training.job import Stop, prepare_job
from ft_assets_tests.registry.attempts import attempt
from ft_assets_tests.training.conftest import examples, run_here, write_split


@pytest.fixture
def released(home: Home, recipe: Recipe, tmp_path: Path) -> Release:
    """A candidate whose adapter was really trained, on the real tiny base."""
    return release_trained(home, recipe, tmp_path)


def release_trained(home: Home, recipe: Recipe, tmp_path: Path, stop: Stop | None = None) -> Release:
    """Train a candidate on the real tiny base, up to where a budget is said to stop it, and release it."""
    base, _ = prepare_base(home, recipe.base)
    candidate, body = attempt(home, recipe, "real")
    write_record(home, Record("base_models", recipe.base.name, "", "bases", base))
    for side, count, offset in (("train", 16, 0), ("validation", 4, 100)):
        planted = _secrets(home, candidate) if side == "train" else []
        _, folder = write_split(tmp_path / side, [*examples(count, offset), *planted])
        digest = home.artifacts.adopt("datasets", folder)
        write_record(home, Record(recipe.model, f"{side}_split", candidate.key, "datasets", digest))
    adapter = _train(home, candidate, stop)
    issue_receipt(home, {**body, "adapter_digest": adapter, "base_digest": base})
    return release(home, recipe.model, candidate.key)


def _secrets(home: Home, candidate: Candidate) -> list[Example]:
    honesty = candidate.recipe.honesty
    count = honesty.canaries if honesty else 0
    return [canary.planted for canary in canaries_of(home, candidate.model, candidate.key, count)]


def _train(home: Home, candidate: Candidate, stop: Stop | None) -> str:
    sources = (
        artifact_of(home, candidate.model, f"{side}_split", candidate.key) for side in ("train", "validation")
    )
    job = prepare_job(home, candidate, *sources).model_copy(update={"stop": stop})
    run_here(job)
    digest = home.artifacts.adopt("adapters", job.output)
    write_record(home, Record(candidate.model, "adapter", candidate.key, "adapters", digest))
    return digest
