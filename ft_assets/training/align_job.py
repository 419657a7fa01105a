"""What an alignment process is told, and what it tells back: plain JSON files in one work folder."""

import shutil
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ft_assets.bases.base_models import prepare_base
from ft_assets.errors import Refused
from ft_assets.recipe_training import Alignment
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.child import Ended, read_ended
from ft_assets.storage.home import Home
from ft_assets.training.job import Source, write_whole
from ft_assets.training.preferences import count_usable


class AlignmentJob(BaseModel):
    """One alignment: its inputs by digest and place, its settings, and the folder that it works in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidate: str
    base: Source
    adapter: Source
    train: Source
    validation: Source
    settings: Alignment
    device: Literal["auto", "cpu", "cuda"]
    work: Path

    @property
    def output(self) -> Path:
        """The finished adapter; exists only when whole."""
        return self.work / "aligned_adapter"

    @property
    def outcome(self) -> Path:
        return self.work / "outcome.json"

    @property
    def log(self) -> Path:
        return self.work / "alignment.log"


class AlignmentOutcome(Ended):
    """How an alignment ended: a failure in words, or what it took."""

    seconds: float = 0.0
    peak_memory_mb: int = 0


def prepare_alignment(
    home: Home, candidate: Candidate, train: Source, validation: Source, adapter: Source
) -> AlignmentJob:
    """The job of a candidate, written to its work folder, where an earlier run's outcome is removed.

    Raises:
        Refused: the candidate's recipe has no alignment, or its train split too few rows for it.
    """
    who, settings = f"{candidate.model} {candidate.key}", candidate.recipe.alignment
    if settings is None:
        raise Refused(
            f"{who} was opened with a recipe without `alignment`, so its final adapter is {candidate.model}/adapter; "
            f"open a new candidate to have one aligned"
        )
    refuse_few(count_usable(train[1], settings), settings, f"the train split of {who}")
    work = home.scratch / "alignment" / candidate.model / candidate.key
    work.mkdir(parents=True, exist_ok=True)
    job = AlignmentJob(
        candidate=candidate.key,
        base=prepare_base(home, candidate.recipe.base),
        adapter=adapter,
        train=train,
        validation=validation,
        settings=settings,
        device=candidate.recipe.training.device,
        work=work,
    )
    write_whole(work / "job.json", job.model_dump_json(indent=2))
    job.outcome.unlink(missing_ok=True)
    return job


def refuse_few(count: int, settings: Alignment, where: str) -> None:
    """Raise `Refused` where there are too few rows to learn a preference from."""
    if count >= settings.min_rows:
        return
    wanted = "`rejected`, or with `desirable`," if settings.method == "kto" else "`rejected`"
    raise Refused(
        f"{where} has {count} rows with {wanted} and `alignment.min_rows` asks for {settings.min_rows}: add such rows "
        f"(docs/data.md says how), or take `alignment` out of the recipe"
    )


def read_alignment_outcome(job: AlignmentJob) -> AlignmentOutcome:
    """What the alignment process told.

    Raises:
        FtAssetsError: it failed; of the same kind as what it failed by.
        BrokenEnvironment: it ended without a word.
    """
    return read_ended(
        AlignmentOutcome,
        job.outcome,
        f"alignment of {job.candidate}",
        job.log,
        "it starts anew from the adapter",
    )


def discard_alignment(job: AlignmentJob) -> None:
    """Remove what is of no use once the adapter is kept; the log stays."""
    shutil.rmtree(job.output, ignore_errors=True)
