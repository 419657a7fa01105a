"""deployment/local/dagster.yaml is an instance that Dagster opens and runs jobs under."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.errors import DagsterInvalidConfigError
from dagster._core.instance.config import PoolGranularity
from dagster._core.run_coordinator import QueuedRunCoordinator

from ft_assets_tests.deployment.tree import DEPLOYMENT


@dg.asset(pool="training")
def trained() -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"steps": 1})


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    shutil.copy(DEPLOYMENT / "local" / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def test_a_job_with_a_pool_runs_and_is_remembered(instance: dg.DagsterInstance) -> None:
    assert dg.materialize([trained], instance=instance).success
    assert instance.get_latest_materialization_event(dg.AssetKey("trained")) is not None


def test_one_training_and_two_runs_at_a_time(instance: dg.DagsterInstance) -> None:
    settings = instance.get_concurrency_config()
    assert settings.pool_config.default_pool_limit == 1
    assert settings.pool_config.pool_granularity == PoolGranularity.RUN
    assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
    assert settings.run_queue_config and settings.run_queue_config.max_concurrent_runs == 2


def test_a_dead_run_is_noticed_and_gives_its_slot_back(instance: dg.DagsterInstance) -> None:
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] > 0
    assert instance.run_monitoring_settings["max_runtime_seconds"] > 0
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 1


def test_nothing_is_reported_to_anyone(instance: dg.DagsterInstance) -> None:
    assert instance.telemetry_enabled is False


def test_dagster_refuses_a_misspelt_setting(tmp_path: Path) -> None:
    text = (DEPLOYMENT / "local" / "dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(text.replace("max_concurrent_runs", "max_concurent_runs"))
    with pytest.raises(DagsterInvalidConfigError):
        dg.DagsterInstance.from_config(str(tmp_path))
