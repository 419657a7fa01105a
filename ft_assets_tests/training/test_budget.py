"""A training stops before it has cost more than its candidate may, and what it was worth is kept."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from ft_assets.recipe import Recipe
from ft_assets.recipe_cost import Cost
from ft_assets.recipe_training import Scale
from ft_assets.storage import assets, meter
from ft_assets.storage.artifacts import digest_folder
from ft_assets.storage.candidates import open_candidate
from ft_assets.storage.costs import costs_of
from ft_assets.storage.home import Home
from ft_assets.storage.meter import metered
from ft_assets.training import budget as budget_module
from ft_assets.training.budget import Budget
from ft_assets.training.history import History
from ft_assets.training.job import Stop, TrainingJob
from ft_assets_tests.training.conftest import Jobs, run_here, start_worker
from ft_assets_tests.training.test_assets import materialize

ABSURD = Cost(price_per_hour=1e6, budget=1.0)
"""A budget of some milliseconds."""

A_SECOND = Cost(price_per_hour=3600.0, budget=1.0)

SINGLE = SimpleNamespace(count=1, sum_up=lambda gradients, loss, device: loss)


class Clock:
    """A clock that stands still."""

    now = 1_000.0

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (budget_module, meter):
        monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as instance:
        yield instance


def run_metered(home: Home, job: TrainingJob, cost: Cost | None) -> list[str]:
    """Train here as an asset would have it done; returns what was said."""
    from ft_assets.training.worker import train

    said: list[str] = []
    with metered(home, (job.model, job.candidate), "training", cost, job.work, "run"):
        train(job, said.append, os.getppid())
    return said


def facts_of(job: TrainingJob) -> dict[str, Any]:
    return json.loads((job.output / "training.json").read_text())


def budget(job: TrainingJob, device: str = "cpu", ranks: Any = SINGLE) -> Budget:
    trainer: Any = SimpleNamespace(device=SimpleNamespace(type=device), ranks=ranks, history=History())
    return Budget(job, trainer)


def test_a_training_stops_before_its_budget_is_passed_and_says_so(home: Home, new_job: Jobs) -> None:
    job = new_job(validate_every=4)
    said = run_metered(home, job, ABSURD)
    facts = facts_of(job)
    assert facts["steps"] == 1 and facts["best_step"] == 0
    assert facts["stopped"].startswith("budget: the candidate has cost ")
    assert facts["stopped"].endswith("the 1.00 EUR of `cost.budget`; the weights of step 0 are kept")
    assert (job.output / "adapter_model.safetensors").exists()
    assert any("EUR so far" in line for line in said) and any("stopped at step 1" in line for line in said)
    progress = json.loads(job.progress.read_text())
    assert progress["currency"] == "EUR" and progress["cost"] > 0 and progress["seconds_left"] == 0.0
    (row,) = costs_of(home)
    assert (row.stage, row.device, row.tokens) == ("training", "cpu", facts["tokens"])
    assert row.money is not None and row.money >= progress["cost"]


def test_a_training_within_its_budget_ends_at_the_same_bytes_as_one_without(
    home: Home, new_job: Jobs
) -> None:
    free, paid = new_job("free"), new_job("paid")
    said = run_metered(home, free, None)
    assert not any("so far" in line for line in said)
    assert json.loads(free.progress.read_text())["cost"] is None
    run_metered(home, paid, Cost(price_per_hour=1.0, budget=1000.0))
    assert digest_folder(free.output) == digest_folder(paid.output)
    assert [row.money is None for row in costs_of(home)] == [True, False]


def test_best_weights_are_kept_and_more_money_goes_on_from_the_last_checkpoint(new_job: Jobs) -> None:
    quiet, stopped = new_job("quiet", validate_every=4), new_job("stopped", validate_every=4)
    run_here(quiet)
    run_here(stopped.model_copy(update={"stop": Stop(step=6, reason="budget: spent")}))
    facts = facts_of(stopped)
    assert (facts["steps"], facts["best_step"], facts["stopped"]) == (6, 4, "budget: spent")
    four = new_job("four", validate_every=4)
    run_here(four.model_copy(update={"stop": Stop(step=4, reason="budget: spent")}))
    weights = "adapter_model.safetensors"
    assert (stopped.output / weights).read_bytes() == (four.output / weights).read_bytes()
    assert run_here(stopped).resumed_from == 4
    assert digest_folder(stopped.output) == digest_folder(quiet.output)


def test_the_next_step_is_taken_to_last_as_long_as_the_mean(home: Home, new_job: Jobs, clock: Clock) -> None:
    job, history = new_job(), History()
    with metered(home, (job.model, job.candidate), "training", A_SECOND, job.work, "run"):
        watched = budget(job)
        for step, seconds in enumerate((0.2, 0.4), start=1):
            clock.now += seconds
            history.step = step
            watched.check(history, 9)
            assert history.stopped is None  # at last 0.6 s are gone, and another step takes 0.3 s
        clock.now += 0.2
        history.step = 3
        watched.check(history, 9)
    assert str(history.stopped).startswith(
        "budget: the candidate has cost 0.80 EUR after step 3, and another"
    )


@pytest.mark.parametrize(("device", "stops"), [("cpu", False), ("cuda", True)])
def test_money_spent_before_counts_and_so_does_every_gpu(
    home: Home, new_job: Jobs, clock: Clock, device: str, stops: bool
) -> None:
    job, history = new_job(), History(step=1)
    whose = job.model, job.candidate
    with metered(home, whose, "search", A_SECOND, job.work, "before"):
        clock.now += 0.4
    with metered(home, whose, "training", A_SECOND, job.work, "run"):
        watched = budget(job, device, SimpleNamespace(count=2, sum_up=SINGLE.sum_up))
        clock.now += 0.25
        watched.check(history, 9)  # 0.9 s with another step, or 1.4 s of two GPUs
    assert (history.stopped is not None) == stops


def test_all_processes_stop_where_one_has_to(home: Home, new_job: Jobs) -> None:
    job, history = new_job(), History(step=1)
    others_have_to = SimpleNamespace(count=2, sum_up=lambda gradients, loss, device: loss + 1.0)
    cost = Cost(price_per_hour=1.0, budget=1000.0)
    with metered(home, (job.model, job.candidate), "training", cost, job.work, "run"):
        budget(job, "cpu", others_have_to).check(history, 9)
    assert history.stopped is not None


@pytest.mark.slow
def test_processes_that_train_together_stop_together(home: Home, new_job: Jobs) -> None:
    job = new_job().model_copy(update={"scale": Scale(processes=2)})
    (job.work / "job.json").write_text(job.model_dump_json())
    with metered(home, (job.model, job.candidate), "training", ABSURD, job.work, "run"):
        assert start_worker(job).wait(120) == 0
    assert facts_of(job)["steps"] == 1 and facts_of(job)["stopped"].startswith("budget: ")
    (row,) = costs_of(home)
    assert (row.device, row.devices) == ("cpu", 1)  # two processes on one machine are one device


@pytest.mark.slow
def test_a_spent_budget_is_refused_and_a_raised_one_goes_on(
    instance: dg.DagsterInstance, home: Home, recipe: Recipe, tmp_path: Path
) -> None:
    candidate = open_candidate(home, recipe, ["b1"], None, ["test"])
    poor, rich = (
        recipe.model_copy(update={"cost": cost}) for cost in (ABSURD, Cost(price_per_hour=1.0, watts=100))
    )
    result = materialize(instance, home, poor, candidate.key, tmp_path / "poor")
    (materialization,) = result.asset_materializations_for_node("tiny__adapter")
    metadata = materialization.metadata
    assert str(metadata["stopped"].value).startswith("budget: ")
    (row,) = costs_of(home, "tiny", candidate.key)
    assert metadata["device_seconds"].value == row.device_seconds > 0
    assert metadata["money"].value == row.money and metadata["currency"].value == "EUR"
    assert "watt_hours" not in metadata and row.run_id == result.run_id
    again = materialize(instance, home, poor, candidate.key, tmp_path / "again", raise_on_error=False)
    failure = again.failure_data_for_node("tiny__adapter")
    assert failure is not None and failure.user_failure_data is not None
    assert "raise `cost.budget` in the recipe of tiny" in str(failure.user_failure_data.description)
    assert len(costs_of(home)) == 1
    result = materialize(instance, home, rich, candidate.key, tmp_path / "rich")
    (materialization,) = result.asset_materializations_for_node("tiny__adapter")
    assert materialization.metadata["steps"].value == 4
    assert "watt_hours" in materialization.metadata and len(costs_of(home)) == 2


def test_a_training_that_was_killed_is_counted(
    instance: dg.DagsterInstance,
    home: Home,
    recipe: Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    candidate = open_candidate(home, recipe, ["b1"], None, ["test"])
    monkeypatch.setattr(assets, "child_command", lambda *_: ["sh", "-c", "sleep 0.3; kill -9 $$"])
    result = materialize(instance, home, recipe, candidate.key, tmp_path, raise_on_error=False)
    assert not result.success
    (row,) = costs_of(home, "tiny", candidate.key)
    assert (row.stage, row.device, row.tokens, row.money) == ("training", "", 0, None)
    assert row.device_seconds >= 0.3
