"""What an evaluation process is told, and what it tells back: plain files in one work folder."""

from pathlib import Path

import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field

from ft_assets.bases.base_models import prepare_base
from ft_assets.evaluation.comparison import Arm
from ft_assets.evaluation.metrics.bill import Bill
from ft_assets.evaluation.past import epoch_of
from ft_assets.recipe_evaluation import Evaluation
from ft_assets.recipe_honesty import Honesty
from ft_assets.splitting.canaries import canaries_of, check_planted, conversation
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.child import Ended, read_ended
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of
from ft_assets.storage.releases import find_release
from ft_assets.training.job import Source, write_whole


class ArmJob(BaseModel):
    """One model to measure: the base with an adapter (digest and folder), or bare."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Arm
    adapter: Source | None


class HonestyJob(BaseModel):
    """What is asked beside the eval rows: the recipe's section, the rows trained on, and the planted secrets.

    Attributes:
        canaries: of each, the conversation that was planted, and then those that were not.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: Honesty
    train: Source
    canaries: list[list[list[dict[str, str]]]]


class EvaluationJob(BaseModel):
    """One evaluation: arms, rows, settings, and the folders it works in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    candidate: str
    base: Source
    arms: list[ArmJob]
    rows: Source
    epoch: int = 0
    settings: Evaluation
    honesty: HonestyJob | None = None
    device: str
    cache: Path
    work: Path

    @property
    def output(self) -> Path:
        """Per-row results (`result_schema`); exists only when whole."""
        return self.work / "rows.parquet"

    @property
    def retention(self) -> Path:
        """Per-row results of the harness's tasks (`RETENTION_SCHEMA`); exists only when whole, and were asked for."""
        return self.work / "retention.parquet"

    @property
    def asked(self) -> Path:
        """Answers to the honesty tests' own rows (`ASKED_SCHEMA`); exists only when whole, and were asked for."""
        return self.work / "asked.parquet"

    @property
    def exposed(self) -> Path:
        """Losses of each canary, the planted one first, as JSON; exists only when whole, and were asked for."""
        return self.work / "exposed.json"

    @property
    def progress(self) -> Path:
        """`{arm, rows_done, rows, tokens_per_s, seconds_left}`, replaced after every batch; rows of all arms."""
        return self.work / "progress.json"

    @property
    def outcome(self) -> Path:
        return self.work / "outcome.json"

    @property
    def log(self) -> Path:
        return self.work / "evaluation.log"


class Outcome(Ended):
    """How an evaluation ended: a failure in words, or what it took.

    Attributes:
        judges: what each judge was asked, by metric.
        function_failures: answers on which a function of the recipe failed, by metric.
    """

    seconds: float = 0.0
    tokens_per_s: float = 0.0
    peak_memory_mb: int = 0
    rows_reused: int = 0
    judges: dict[str, Bill] = Field(default={})
    function_failures: dict[str, int] = Field(default={})


def prepare_job(home: Home, candidate: Candidate, eval_split: Source, adapter: Source) -> EvaluationJob:
    """The job of a candidate, written to its work folder, where an earlier run's output is removed.

    Raises:
        Refused: secrets are to be looked for that the candidate's train split does not hold.
    """
    work = home.scratch / "evaluation" / candidate.model / candidate.key
    work.mkdir(parents=True, exist_ok=True)
    job = EvaluationJob(
        candidate=candidate.key,
        base=prepare_base(home, candidate.recipe.base),
        arms=[ArmJob(name="base", adapter=None), *_incumbent(home, candidate), _arm("candidate", adapter)],
        rows=eval_split,
        epoch=epoch_of(home, candidate),
        settings=candidate.recipe.evaluation,
        honesty=_honesty(home, candidate),
        device=candidate.recipe.training.device,
        cache=home.scratch / "evaluation" / "cache",
        work=work,
    )
    for old in (job.outcome, job.output, job.retention, job.asked, job.exposed):
        old.unlink(missing_ok=True)
    write_whole(work / "job.json", job.model_dump_json(indent=2))
    return job


def read_outcome(job: EvaluationJob) -> Outcome:
    """What the evaluation process told.

    Raises:
        FtAssetsError: it failed; of the same kind as what it failed by.
        BrokenEnvironment: it ended without a word.
    """
    return read_ended(
        Outcome,
        job.outcome,
        f"evaluation of {job.candidate}",
        job.log,
        "it goes on after the last batch of rows",
    )


def _incumbent(home: Home, candidate: Candidate) -> list[ArmJob]:
    if candidate.incumbent is None:
        return []
    digest = find_release(home, candidate.incumbent).adapter_digest
    return [_arm("incumbent", (digest, home.artifacts.path("adapters", digest)))]


def _honesty(home: Home, candidate: Candidate) -> HonestyJob | None:
    settings = candidate.recipe.honesty
    if settings is None:
        return None
    train = artifact_of(home, candidate.model, "train_split", candidate.key)
    canaries = canaries_of(home, candidate.model, candidate.key, settings.canaries)
    rows = pq.read_table(train[1] / "rows.parquet", columns=["id"])
    check_planted(canaries, rows, f"the train split of {candidate.model} {candidate.key}")
    return HonestyJob(
        settings=settings,
        train=train,
        canaries=[[conversation(row) for row in (canary.planted, *canary.others)] for canary in canaries],
    )


def _arm(name: Arm, adapter: Source) -> ArmJob:
    return ArmJob(name=name, adapter=adapter)
