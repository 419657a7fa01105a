"""Sends the steps of a training to TensorBoard and MLflow. Neither can stop it: one that fails is left alone."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from ft_assets.errors import BrokenEnvironment
from ft_assets.training.job import TrainingJob

_NUMBERS = (
    "loss",
    "validation_loss",
    "learning_rate",
    "gradient_norm",
    "tokens_per_s",
    "utilisation",
    "cost",
)


class Tracker(Protocol):
    """Takes the numbers of one step."""

    def note(self, step: int, numbers: Mapping[str, float]) -> None: ...


class Trackers:
    """Every tool that the recipe names.

    Args:
        job: names the tools, the model and the candidate.
        resumed_from: step of the checkpoint that this training goes on from; steps after it are told anew.
        say: is told which tool failed, and why.

    Raises:
        BrokenEnvironment: a tool is not installed, or not to be reached at the start.
    """

    def __init__(self, job: TrainingJob, resumed_from: int | None, say: Callable[[str], object]) -> None:
        self._say = say
        self._tools: list[Tracker] = []
        named = job.tracking
        if named is not None and named.tensorboard is not None:
            self._open("TensorBoard", lambda: _TensorBoard(job, named.tensorboard or "", resumed_from))
        if named is not None and named.mlflow is not None:
            self._open("MLflow", lambda: _MLflow(job, named.mlflow or ""))

    def note(self, step: int, fields: Mapping[str, Any]) -> None:
        """Pass on the numbers among the fields of a progress file."""
        numbers = {name: float(fields[name]) for name in _NUMBERS if fields.get(name) is not None}
        for tool in list(self._tools):
            try:
                tool.note(step, numbers)
            except Exception as error:
                self._tools.remove(tool)
                self._say(
                    f"{type(tool).__name__.strip('_')} takes no more steps: {type(error).__name__}: {error}"
                )

    def _open(self, name: str, make: Callable[[], Tracker]) -> None:
        try:
            self._tools.append(make())
        except Exception as error:
            mend = (
                "pip install 'ft-assets[tracking]'"
                if isinstance(error, ImportError)
                else "see the recipe's `tracking`"
            )
            raise BrokenEnvironment(
                f"{name} cannot be written to: {type(error).__name__}: {error}; {mend}"
            ) from error


class _TensorBoard:
    def __init__(self, job: TrainingJob, folder: str, resumed_from: int | None) -> None:
        from torch.utils.tensorboard import SummaryWriter

        place = Path(folder) / job.model / job.candidate
        # What a killed training wrote after its last checkpoint is written again.
        self._writer = SummaryWriter(
            str(place), purge_step=None if resumed_from is None else resumed_from + 1
        )

    def note(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()


class _MLflow:
    def __init__(self, job: TrainingJob, uri: str) -> None:
        from mlflow import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        known = self._client.get_experiment_by_name(job.model)
        experiment = known.experiment_id if known else self._client.create_experiment(job.model)
        # A training that goes on after a kill, or at another time, is one run.
        found = self._client.search_runs([experiment], f"tags.candidate = '{job.candidate}'")
        self._run = (found[0] if found else self._begin(job, experiment)).info.run_id

    def note(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._client.log_metric(self._run, name, value, step=step)

    def _begin(self, job: TrainingJob, experiment: str) -> Any:
        digests = {"base": job.base[0], "train": job.train[0], "validation": job.validation[0]}
        run = self._client.create_run(
            experiment, tags={"candidate": job.candidate, **digests}, run_name=job.candidate
        )
        for name, value in job.settings.model_dump(mode="json").items():
            self._client.log_param(run.info.run_id, name, value)
        return run
