"""The search as an asset: real child processes, an adapter of what was found, and no sight of eval rows."""

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ft_assets.errors import Refused
from ft_assets.recipe import Recipe
from ft_assets.storage.candidates import open_candidate
from ft_assets.storage.costs import costs_of
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of
from ft_assets.training.assets import build_assets
from ft_assets.training.search_job import SearchJob, prepare_search
from ft_assets.training.search_result import read_study
from ft_assets_tests.training.conftest import examples, write_split
from ft_assets_tests.training.test_assets import materialize

SEARCH = {"trials": 5, "max_steps": 2, "space": {"rank": [2, 4], "learning_rate": [1e-3, 3e-2]}}


@pytest.fixture
def searching(recipe: Recipe) -> Recipe:
    return Recipe.model_validate({**recipe.model_dump(), "search": SEARCH})


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def parents(recipe: Recipe) -> dict[str, set[str]]:
    """The assets of training by name, each with those that it depends on."""
    graph = dg.Definitions(
        assets=build_assets(recipe), resources={"home": None, "pipes": None}
    ).resolve_asset_graph()
    names = {key: key.path[-1] for key in graph.get_all_asset_keys()}
    return {
        names[asset.key]: {names[parent] for parent in graph.get(asset.key).parent_keys}
        for asset in build_assets(recipe)
    }


def test_search_is_an_asset_only_where_the_recipe_asks_for_it(recipe: Recipe, searching: Recipe):
    inputs = {"train_split", "validation_split", "tiny-random"}
    assert parents(recipe) == {"adapter": inputs}
    assert parents(searching) == {"hpo_study": inputs, "adapter": {*inputs, "hpo_study"}}


def test_job_holds_no_path_to_eval_rows(home: Home, searching: Recipe, tmp_path: Path):
    candidate = open_candidate(home, searching, ["b1"], None, ["test"])
    sides = {"train": 0, "validation": 100, "eval": 200}
    splits = {name: write_split(tmp_path / name, examples(4, offset)) for name, offset in sides.items()}
    job = prepare_search(home, candidate, splits["train"], splits["validation"])
    text = job.file.read_text()
    assert SearchJob.model_validate_json(text) == job
    for name, (digest, folder) in splits.items():
        assert (digest in text, f'"{folder}"' in text) == (name != "eval", name != "eval")


def test_candidate_of_a_recipe_without_search_is_refused(home: Home, recipe: Recipe, tmp_path: Path):
    candidate = open_candidate(home, recipe, ["b1"], None, ["test"])
    split = write_split(tmp_path / "split", examples(4))
    with pytest.raises(Refused, match="without `search`; open a new candidate"):
        prepare_search(home, candidate, split, split)


@pytest.mark.slow
def test_adapter_is_trained_with_the_settings_that_were_found(
    instance: dg.DagsterInstance, home: Home, searching: Recipe, tmp_path: Path
):
    candidate = open_candidate(home, searching, ["b1"], None, ["test"])
    result = materialize(instance, home, searching, candidate.key, tmp_path)
    assert result.success
    digest, folder = artifact_of(home, "tiny", "hpo_study", candidate.key)
    study = read_study(folder)
    (materialization,) = result.asset_materializations_for_node("tiny__hpo_study")
    metadata = materialization.metadata
    assert metadata["digest"].value == digest and metadata["best_settings"].value == study.best_settings
    assert metadata["trials_complete"].value == 4  # the space has no more combinations
    assert "(best)" in str(metadata["trials"].value)
    assert str(metadata["losses"].value).startswith("![validation losses](data:image/png;base64,iVBOR")
    _, adapter = artifact_of(home, "tiny", "adapter", candidate.key)
    settings = json.loads((adapter / "training.json").read_text())["settings"]
    assert {name: settings[name] for name in ("rank", "learning_rate")} == study.best_settings
    assert settings["max_steps"] == searching.training.max_steps == 4
    assert json.loads((adapter / "adapter_config.json").read_text())["r"] == study.best_settings["rank"]
    searched, trained = costs_of(home, "tiny", candidate.key)
    assert [searched.stage, trained.stage] == ["search", "training"]
    assert searched.device == "cpu" and searched.tokens > 0
    assert metadata["device_seconds"].value == searched.device_seconds
    lines = [event.message for event in instance.all_logs(result.run_id)]
    assert any(line.startswith("trial 4 of 4: learning_rate 0.03, rank 4: complete") for line in lines)
