"""The adapter as an asset: a real child process through Pipes, and what Dagster then shows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ft_assets.errors import WrongInput
from ft_assets.recipe import Recipe
from ft_assets.storage.assets import HomeResource, asset_settings, candidate_partitions, hand_over
from ft_assets.storage.candidates import Candidate, open_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of
from ft_assets.training.assets import base_spec, build_assets
from ft_assets.training.checks import build_checks
from ft_assets_tests.training.conftest import examples, write_split

pytestmark = pytest.mark.slow


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def candidate(home: Home, recipe: Recipe) -> Candidate:
    return open_candidate(home, recipe, ["b1"], None, ["test"])


def split_assets(recipe: Recipe, folder: Path) -> list[dg.AssetsDefinition]:
    """Stand-ins for the splitting stage: real artifacts, handed over as that stage does it."""

    def build(name: str, count: int, offset: int) -> dg.AssetsDefinition:
        @dg.asset(
            **asset_settings(recipe, name, "splitting"), partitions_def=candidate_partitions(recipe.model)
        )
        def split(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
            state = home.open()
            _, rows = write_split(folder / name, examples(count, offset))
            return hand_over(context, state, "datasets", state.artifacts.adopt("datasets", rows), {})

        return split  # pyright: ignore[reportReturnType]

    return [build("train_split", 24, 0), build("validation_split", 6, 100)]


def materialize(
    instance: dg.DagsterInstance, home: Home, recipe: Recipe, key: str, folder: Path, **settings: Any
) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions(f"{recipe.model}_candidates", [key])
    return dg.materialize(
        [*split_assets(recipe, folder), *build_assets(recipe), *build_checks(recipe)],
        instance=instance,
        partition_key=key,
        resources={"home": HomeResource(root=home.root), "pipes": dg.PipesSubprocessClient()},
        **settings,
    )


def test_adapter_is_trained_in_a_child_and_described(
    instance: dg.DagsterInstance, home: Home, recipe: Recipe, candidate: Candidate, tmp_path: Path
):
    result = materialize(instance, home, recipe, candidate.key, tmp_path)
    assert result.success
    digest, folder = artifact_of(home, recipe.model, "adapter", candidate.key)
    (materialization,) = result.asset_materializations_for_node("tiny__adapter")
    metadata = materialization.metadata
    assert metadata["digest"].value == digest and metadata["steps"].value == 4
    assert str(metadata["loss_curves"].value).startswith("![loss curves](data:image/png;base64,iVBOR")
    facts = json.loads((folder / "training.json").read_text())
    assert facts["train_digest"] == artifact_of(home, recipe.model, "train_split", candidate.key)[0]
    assert facts["base_digest"] == artifact_of(home, "base_models", "tiny-random")[0]
    (check,) = result.get_asset_check_evaluations()
    assert check.check_name == "learned" and check.partition == candidate.key
    assert check.passed == (
        min(loss for _, loss in facts["validation_loss"]) < facts["validation_loss"][0][1]
    )
    lines = [event.message for event in instance.all_logs(result.run_id)]
    assert any("validation loss" in line and "tokens/s" in line and "s left" in line for line in lines)
    assert not (home.scratch / "training" / recipe.model / candidate.key / "checkpoints").exists()


def test_recipe_of_the_candidate_is_used_not_the_present_one(
    instance: dg.DagsterInstance, home: Home, recipe: Recipe, candidate: Candidate, tmp_path: Path
):
    edited = recipe.model_copy(update={"training": recipe.training.model_copy(update={"max_steps": 1})})
    result = materialize(instance, home, edited, candidate.key, tmp_path)
    (materialization,) = result.asset_materializations_for_node("tiny__adapter")
    assert materialization.metadata["steps"].value == 4


def test_failure_of_the_child_is_told_with_reason_and_log(
    instance: dg.DagsterInstance, home: Home, recipe: Recipe, tmp_path: Path
):
    strict = recipe.model_copy(update={"training": recipe.training.model_copy(update={"max_tokens": 16})})
    candidate = open_candidate(home, strict, ["b1"], None, ["test"])
    result = materialize(instance, home, strict, candidate.key, tmp_path, raise_on_error=False)
    assert not result.success
    failure = result.failure_data_for_node("tiny__adapter")
    assert failure is not None and failure.user_failure_data is not None
    description = str(failure.user_failure_data.description)
    assert "training.max_tokens: 16" in description and "training.log" in description
    assert failure.user_failure_data.metadata["exit_code"].value == WrongInput.exit_code
    assert not instance.get_latest_materialization_event(dg.AssetKey(["tiny", "adapter"]))


def test_automation_asks_for_the_adapter_although_the_base_was_never_materialized(
    instance: dg.DagsterInstance, home: Home, recipe: Recipe, candidate: Candidate, tmp_path: Path
):
    assets = [*split_assets(recipe, tmp_path), *build_assets(recipe)]
    instance.add_dynamic_partitions(f"{recipe.model}_candidates", [candidate.key])
    splits = dg.AssetSelection.assets(*(f"tiny/{name}_split" for name in ("train", "validation")))
    resources = {"home": HomeResource(root=home.root), "pipes": dg.PipesSubprocessClient()}
    dg.materialize(
        assets, instance=instance, partition_key=candidate.key, selection=splits, resources=resources
    )
    definitions = dg.Definitions(assets=assets, resources=resources)
    result = dg.evaluate_automation_conditions(defs=definitions, instance=instance)
    assert result.get_requested_partitions(dg.AssetKey(["tiny", "adapter"])) == {candidate.key}


def test_two_models_share_one_base_asset(recipe: Recipe):
    other = recipe.model_copy(update={"model": "other"})
    definitions = dg.Definitions(
        assets=[*build_assets(recipe), *build_assets(other), base_spec(recipe.base)],
        resources={"home": HomeResource(), "pipes": dg.PipesSubprocessClient()},
    )
    graph = definitions.resolve_asset_graph()
    base = dg.AssetKey(["base_models", "tiny-random"])
    assert graph.get(base).child_keys == {dg.AssetKey([model, "adapter"]) for model in ("tiny", "other")}
