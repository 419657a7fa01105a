"""What a search's processes are told, and what they tell back: plain files in one work folder."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ft_assets.errors import Refused
from ft_assets.recipe import Training
from ft_assets.recipe_search import Search
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.child import Ended, read_ended
from ft_assets.storage.home import Home
from ft_assets.training.job import Source, TrainingJob, change_settings, make_job, write_whole


class SearchJob(BaseModel):
    """One search: the training whose settings are varied, how they are, and the folder that it works in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    training: TrainingJob
    search: Search
    work: Path

    @property
    def file(self) -> Path:
        return self.work / "job.json"

    @property
    def study(self) -> Path:
        """Optuna's SQLite database: every trial, also unfinished ones."""
        return self.work / "study.db"

    @property
    def output(self) -> Path:
        """The finished study; exists only when whole."""
        return self.work / "study"

    @property
    def outcome(self) -> Path:
        return self.work / "outcome.json"

    @property
    def log(self) -> Path:
        return self.work / "search.log"

    def checkpoints(self, trial: int) -> Path:
        """Checkpoints of a trial, there while it is not finished."""
        return self.work / "trials" / f"{trial:04d}"

    def failure(self, process: int) -> Path:
        """Why one of the trials' processes ended early (`Ended`)."""
        return self.work / f"failure-{process}.json"

    def identity(self) -> str:
        """Sha256 of all that decides the result: trials of another identity are never counted."""
        text = self.training.identity() + self.search.model_dump_json(exclude_none=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def settings(self, drawn: Mapping[str, Any]) -> Training:
        """The settings that a trial trains with."""
        steps = self.search.max_steps or self.training.settings.max_steps
        return change_settings(self.training.settings, {**drawn, "max_steps": steps})


class SearchOutcome(Ended):
    """How a search ended: a failure in words, or facts of this run that have no place in the artifact."""

    seconds: float = 0.0
    trials_kept: int = 0  # finished by an earlier run
    trials_png: str = ""  # base64
    importances_png: str | None = None  # None: too few complete trials to tell


def prepare_search(home: Home, candidate: Candidate, train: Source, validation: Source) -> SearchJob:
    """The search of a candidate, written to its work folder, where an earlier run's trials stay.

    Raises:
        Refused: the recipe that the candidate was opened with says nothing about a search.
    """
    if candidate.recipe.search is None:
        raise Refused(
            f"{candidate.model} {candidate.key} was opened by a recipe without `search`; open a new candidate"
        )
    training = make_job(home, candidate, train, validation)
    job = SearchJob(training=training, search=candidate.recipe.search, work=training.work / "search")
    job.work.mkdir(exist_ok=True)
    write_whole(job.file, job.model_dump_json(indent=2))
    job.outcome.unlink(missing_ok=True)
    return job


def read_search_outcome(job: SearchJob) -> SearchOutcome:
    """What the search process told.

    Raises:
        FtAssetsError: it failed; of the same kind as what it failed by.
        BrokenEnvironment: it ended without a word.
    """
    return read_ended(
        SearchOutcome,
        job.outcome,
        f"the search of {job.training.candidate}",
        job.log,
        "finished trials are kept",
    )
