"""Curves go to TensorBoard and MLflow, once a step, and neither can stop a training."""

from pathlib import Path

import pytest

from ft_assets.errors import BrokenEnvironment
from ft_assets.recipe_tracking import Tracking
from ft_assets.storage.artifacts import digest_folder
from ft_assets.training.job import TrainingJob
from ft_assets.training.tracking import Trackers
from ft_assets_tests.training.conftest import Jobs, run_here
from ft_assets_tests.training.test_resume import kill_after


def tracked(job: TrainingJob, tmp_path: Path) -> TrainingJob:
    tracking = Tracking(tensorboard=str(tmp_path / "events"), mlflow=f"sqlite:///{tmp_path / 'mlflow.db'}")
    job = job.model_copy(update={"tracking": tracking})
    (job.work / "job.json").write_text(job.model_dump_json())
    return job


def tensorboard_steps(folder: Path) -> list[int]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (run,) = (folder / "events" / "tiny").iterdir()
    events = EventAccumulator(str(run))
    events.Reload()
    return [event.step for event in events.Scalars("loss")]


def mlflow_steps(folder: Path) -> list[int]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["rank"] == "16"
    return sorted({metric.step for metric in client.get_metric_history(run.info.run_id, "loss")})


def test_every_step_is_told_and_the_adapter_is_the_same(new_job: Jobs, tmp_path: Path) -> None:
    plain, job = new_job("plain"), tracked(new_job("work"), tmp_path)
    run_here(plain)
    run_here(job)
    steps = [*range(1, 1 + tensorboard_steps(tmp_path)[-1])]
    assert tensorboard_steps(tmp_path) == mlflow_steps(tmp_path) == steps
    assert digest_folder(job.output) == digest_folder(plain.output)


def test_a_killed_training_goes_on_in_the_same_run(new_job: Jobs, tmp_path: Path) -> None:
    job = tracked(new_job(), tmp_path)
    kill_after(job, 6)
    run_here(job)
    steps = tensorboard_steps(tmp_path)
    assert steps == [*range(1, 1 + steps[-1])], "what was told after the last checkpoint is told anew, once"
    assert mlflow_steps(tmp_path) == steps


def test_a_tool_that_breaks_midway_is_left_alone(new_job: Jobs, tmp_path: Path) -> None:
    said: list[str] = []
    trackers = Trackers(tracked(new_job(), tmp_path), None, said.append)
    (tmp_path / "mlflow.db").unlink()
    trackers.note(1, {"loss": 1.0, "learning_rate": None})
    trackers.note(2, {"loss": 0.9})
    assert tensorboard_steps(tmp_path) == [1, 2]
    assert len(said) == 1
    assert said[0].startswith("MLflow takes no more steps")


def test_a_tool_that_cannot_be_reached_at_the_start_is_named(new_job: Jobs, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    nowhere = Tracking(tensorboard=str(tmp_path / "file" / "below"))
    with pytest.raises(BrokenEnvironment, match="TensorBoard cannot be written to"):
        Trackers(new_job().model_copy(update={"tracking": nowhere}), None, str)


def test_a_section_that_names_no_tool_is_refused() -> None:
    with pytest.raises(ValueError, match="tensorboard"):
        Tracking()
