"""The sensors, asked as Dagster's daemon asks them, and the run that the retrain sensor asks for."""

import json
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from ft_assets.flywheel.assets import build_assets
from ft_assets.flywheel.sensors import build_sensors
from ft_assets.monitoring.assets import build_assets as build_monitoring_assets
from ft_assets.recipe import Recipe
from ft_assets.sources.batches import list_batches
from ft_assets.storage.assets import HomeResource
from ft_assets.storage.candidates import list_candidates
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of
from ft_assets_tests.flywheel.records import MODEL, batch, correct, judge

DECIDES = {dg.AssetKey([MODEL, "drift_report"]), dg.AssetKey([MODEL, "retrain_decision"])}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def definitions(home: Home, recipe: Recipe) -> dg.Definitions:
    return dg.Definitions(
        assets=[*build_assets(recipe), *build_monitoring_assets(recipe)],
        sensors=build_sensors(recipe),
        resources={"home": HomeResource(root=home.root)},
    )


def ask(home: Home, recipe: Recipe, instance: dg.DagsterInstance, name: str) -> Any:
    """One tick of a sensor, as a function; the partition keys it asks for are added."""
    context = dg.build_sensor_context(
        instance=instance, resources={"home": HomeResource(root=home.root)}, sensor_name=f"{MODEL}_{name}"
    )
    sensor = next(sensor for sensor in build_sensors(recipe) if sensor.name == f"{MODEL}_{name}")
    answer: Any = sensor(context)
    if isinstance(answer, dg.SensorResult):
        for request in answer.dynamic_partitions_requests or []:
            instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
    return answer


def decide(home: Home, recipe: Recipe, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = definitions(home, recipe).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(instance=instance, asset_selection=list(DECIDES))


def test_feedback_becomes_a_batch_partition_once(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance
) -> None:
    assert isinstance(ask(home, recipe, instance, "feedback_sensor"), dg.SkipReason)
    correct(home, [f"i{number}" for number in range(20)])
    assert isinstance(ask(home, recipe, instance, "feedback_sensor"), dg.SensorResult)
    keys = [row["key"] for row in list_batches(home, MODEL)]
    assert instance.get_dynamic_partitions(f"{MODEL}_batches") == keys and len(keys) == 1
    assert isinstance(ask(home, recipe, instance, "feedback_sensor"), dg.SkipReason)


def test_batch_whose_partition_was_lost_in_a_crash_gets_it_at_the_next_tick(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance
) -> None:
    key = batch(home, ["one thing", "another thing"])
    ask(home, recipe, instance, "feedback_sensor")
    assert instance.get_dynamic_partitions(f"{MODEL}_batches") == [key]


def test_retrain_sensor_asks_for_the_report_and_the_decision_until_it_is_made(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance
) -> None:
    assert isinstance(ask(home, recipe, instance, "retrain_sensor"), dg.SkipReason)
    batch(home, ["one thing", "another thing"])
    request = ask(home, recipe, instance, "retrain_sensor")
    assert isinstance(request, dg.RunRequest) and set(request.asset_selection or []) == DECIDES
    again = ask(home, recipe, instance, "retrain_sensor")
    assert again.run_key == request.run_key  # the daemon honours a run key once
    assert decide(home, recipe, instance).success
    assert isinstance(ask(home, recipe, instance, "retrain_sensor"), dg.SkipReason)


def test_retrain_sensor_asks_anew_when_the_situation_has_changed(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance
) -> None:
    batch(home, ["one thing", "another thing"])
    request = ask(home, recipe, instance, "retrain_sensor")
    batch(home, ["a third thing"])
    assert ask(home, recipe, instance, "retrain_sensor").run_key != request.run_key


def test_retrain_sensor_does_not_ask_while_its_run_is_under_way(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance
) -> None:
    batch(home, ["one thing", "another thing"])
    tags = {"dagster/sensor_name": f"{MODEL}_retrain_sensor"}
    run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED, tags=tags)
    assert isinstance(ask(home, recipe, instance, "retrain_sensor"), dg.SkipReason)
    instance.report_run_canceled(run)
    assert isinstance(ask(home, recipe, instance, "retrain_sensor"), dg.RunRequest)


def test_decision_run_records_its_reasons_and_opens_the_candidates_partition(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance
) -> None:
    batch(home, ["one thing", "another thing"])
    assert decide(home, recipe, instance).success
    event = instance.get_latest_materialization_event(dg.AssetKey([MODEL, "retrain_decision"]))
    assert event is not None and event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    candidate = list_candidates(home, MODEL)[0].key
    assert metadata["retrain"].value is True and metadata["candidate"].value == candidate
    assert "it is the first candidate, of 2 curated rows" in str(metadata["reasons"].value)
    written = json.loads((artifact_of(home, MODEL, "retrain_decision")[1] / "decision.json").read_text())
    assert written["candidate"] == candidate
    ask(home, recipe, instance, "candidates_sensor")
    assert instance.get_dynamic_partitions(f"{MODEL}_candidates") == [candidate]
    assert isinstance(ask(home, recipe, instance, "candidates_sensor"), dg.SkipReason)


def test_no_is_a_successful_run_with_reasons(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance
) -> None:
    batch(home, ["one thing", "another thing"])
    decide(home, recipe, instance)
    judge(home, list_candidates(home, MODEL)[0].key, "fail")
    result = decide(home, recipe, instance)
    assert result.success
    event = instance.get_latest_materialization_event(dg.AssetKey([MODEL, "retrain_decision"]))
    assert event is not None and event.asset_materialization is not None
    assert event.asset_materialization.metadata["retrain"].value is False
    assert len(list_candidates(home, MODEL)) == 1


def test_everything_is_described_and_runs_from_the_start(recipe: Recipe) -> None:
    sensors = build_sensors(recipe)
    assert [sensor.name for sensor in sensors] == [
        f"{MODEL}_feedback_sensor",
        f"{MODEL}_retrain_sensor",
        f"{MODEL}_candidates_sensor",
    ]
    for sensor in sensors:
        assert sensor.description and sensor.default_status == dg.DefaultSensorStatus.RUNNING
    keys = {key.path[-1] for asset in build_assets(recipe) for key in _keys(asset)}
    assert keys == {"production_interactions", "retrain_decision"}


def _keys(asset: dg.AssetsDefinition | dg.AssetSpec) -> list[dg.AssetKey]:
    return [asset.key] if isinstance(asset, dg.AssetSpec) else list(asset.keys)
