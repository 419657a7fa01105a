"""What a training process is told, and what it tells back: plain JSON files in one work folder."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ft_assets.bases.base_models import prepare_base
from ft_assets.recipe import Training
from ft_assets.recipe_tracking import Tracking
from ft_assets.recipe_training import Scale
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.child import Ended, read_ended
from ft_assets.storage.home import Home

Source = tuple[str, Path]
"""Digest and local folder of an artifact."""


class Stop(BaseModel):
    """Where a budget stopped a training that is done again: after which step, and in what words."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    step: int
    reason: str


class TrainingJob(BaseModel):
    """One training: its inputs by digest and place, its settings, and the folder that it works in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    candidate: str
    base_name: str  # as the adapter's config names it: a hub id, or the recipe's short name
    base: Source
    train: Source
    validation: Source
    settings: Training
    scale: Scale | None = None  # None: one process
    work: Path
    stop: Stop | None = None
    tracking: Tracking | None = None

    @property
    def output(self) -> Path:
        """The finished adapter; exists only when whole."""
        return self.work / "adapter"

    @property
    def checkpoints(self) -> Path:
        return self.work / "checkpoints"

    @property
    def progress(self) -> Path:
        """What the run's log tells, as JSON (`Progress.note`), replaced after every step."""
        return self.work / "progress.json"

    @property
    def outcome(self) -> Path:
        return self.work / "outcome.json"

    @property
    def log(self) -> Path:
        return self.work / "training.log"

    def identity(self) -> str:
        """Sha256 of all that decides the adapter: a checkpoint of another identity is never resumed.

        Not of `scale`, which changes no more than the rounding: any number of processes goes on from a checkpoint. A
        setting that is null is left out, as in `Recipe.digest`.
        """
        inputs = [self.model, self.candidate, self.base[0], self.train[0], self.validation[0]]
        text = json.dumps([*inputs, self.settings.model_dump(mode="json", exclude_none=True)])
        return hashlib.sha256(text.encode()).hexdigest()


class Outcome(Ended):
    """How a training ended: a failure in words, or facts of this run that have no place in the artifact."""

    seconds: float = 0.0
    tokens_per_s: float = 0.0
    utilisation: float = 0.0  # share of the machine's matrix product
    peak_memory_mb: int = 0  # of the first process
    resumed_from: int | None = None
    curves_png: str = ""  # base64


def make_job(home: Home, candidate: Candidate, train: Source, validation: Source) -> TrainingJob:
    """The job of a candidate as its recipe says, with an empty or an earlier run's work folder."""
    base = candidate.recipe.base
    work = home.scratch / "training" / candidate.model / candidate.key
    work.mkdir(parents=True, exist_ok=True)
    return TrainingJob(
        model=candidate.model,
        candidate=candidate.key,
        base_name=base.reference,
        base=prepare_base(home, base),
        train=train,
        validation=validation,
        settings=candidate.recipe.training,
        scale=candidate.recipe.scale,
        work=work,
        tracking=candidate.recipe.tracking,
    )


def prepare_job(
    home: Home,
    candidate: Candidate,
    train: Source,
    validation: Source,
    *,
    found: Mapping[str, Any] | None = None,
) -> TrainingJob:
    """The job of a candidate, written to its work folder, with what an earlier run left there but checkpoints.

    Args:
        found: settings that a search found; they come before the recipe's.
    """
    job = make_job(home, candidate, train, validation)
    job = job.model_copy(update={"settings": change_settings(job.settings, found or {})})
    write_whole(job.work / "job.json", job.model_dump_json(indent=2))
    job.outcome.unlink(missing_ok=True)
    return job


def change_settings(settings: Training, changes: Mapping[str, Any]) -> Training:
    """The settings with some of them replaced, checked like any that are read."""
    return Training.model_validate({**settings.model_dump(), **changes})


def read_outcome(job: TrainingJob) -> Outcome:
    """What the training process told.

    Raises:
        FtAssetsError: it failed; of the same kind as what it failed by.
        BrokenEnvironment: it ended without a word.
    """
    return read_ended(
        Outcome, job.outcome, f"training of {job.candidate}", job.log, "it goes on from its last checkpoint"
    )


def discard_work(job: TrainingJob) -> None:
    """Remove what only an unfinished training needs; log and progress stay."""
    shutil.rmtree(job.checkpoints, ignore_errors=True)
    shutil.rmtree(job.output, ignore_errors=True)


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one go: a reader sees the old text or the new."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)
