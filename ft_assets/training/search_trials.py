"""A process that trains trials: `python -m ft_assets.training.search_trials JOB.json NUMBER PARENT`.

The search process starts it, alone or with others, and waits. It imports torch, takes on one trial after the other,
says a line for each on standard output, and ends when no trial is left or its parent is gone.
"""

import hashlib
import itertools
import logging
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import optuna  # noqa: TID253
import torch  # noqa: TID253

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.recipe import Training
from ft_assets.storage.child import Ended
from ft_assets.storage.meter import Usage, tell_usage
from ft_assets.storage.voice import Say
from ft_assets.training.adapters import choose_device, load_with_adapter
from ft_assets.training.checkpoints import Checkpoints
from ft_assets.training.history import History
from ft_assets.training.job import write_whole
from ft_assets.training.rows import Row, longest_row, read_rows
from ft_assets.training.search_job import SearchJob
from ft_assets.training.search_result import State, Tried, show
from ft_assets.training.search_study import Claim, SearchStudy
from ft_assets.training.sft import Trainer

logger = logging.getLogger("ft_assets.training.search")

_JUDGED_TOKENS = 4_096
"""Validation tokens that a `Trainer` uses at least, where there are as many."""


def main(job_file: Path, number: int, parent: int) -> int:
    """Train trials until none is left, and return the exit code."""
    job = SearchJob.model_validate_json(job_file.read_text())
    logging.basicConfig(filename=job.log, format="%(asctime)s %(levelname)s %(message)s")
    try:
        train_trials(job, lambda line: print(line, flush=True), parent, number)
    except Exception as error:
        logger.exception("process %d of the search failed", number)
        write_whole(job.failure(number), Ended.by(error).model_dump_json())
        return 1
    return 0


def train_trials(job: SearchJob, say: Say, parent: int, number: int = 0) -> None:
    """Take on trials until none is left.

    Args:
        parent: process id; when it is no longer our parent's, the trial is saved and left for the next run.
        number: of this process among those that work on the search.
    """
    from transformers import AutoTokenizer
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_num_threads(max(1, torch.get_num_threads() // job.search.parallel))
    settings = job.training.settings
    tokenizer = AutoTokenizer.from_pretrained(job.training.base[1], local_files_only=True)
    longest = longest_row(job.training.base[1], settings.max_tokens)
    rows, _ = read_rows(tokenizer, job.training.train[1], longest)
    validation, _ = read_rows(tokenizer, job.training.validation[1], longest)
    if not validation:
        raise WrongInput(
            "no row to judge a trial by: the validation split is empty, or every row of it is longer than "
            f"`training.max_tokens: {settings.max_tokens}`; raise `splitting.validation`, or leave `search` out"
        )
    study, judges, tally = SearchStudy(job), _judges(job, validation), _Tally(job, number)
    while (claim := study.claim()) is not None:
        tried = try_settings(job, claim, rows, judges, parent, tally)
        claim.end(tried)
        shutil.rmtree(job.checkpoints(claim.number), ignore_errors=True)
        say(_line(tried, study.planned))


class _Tally:
    """Tells what this process has used, over all its trials."""

    def __init__(self, job: SearchJob, number: int) -> None:
        self._job, self._number = job, number
        self._used = Usage(device=choose_device(job.training.settings).type)

    def add(self, tokens: int) -> None:
        self._used = self._used.model_copy(update={"tokens": self._used.tokens + tokens})
        tell_usage(self._job.work, self._used, self._number)


def try_settings(
    job: SearchJob, claim: Claim, rows: Sequence[Row], validation: Sequence[Row], parent: int, tally: _Tally
) -> Tried:
    """Train with the settings of a claim, from where an earlier attempt was killed, and say how it ended."""
    settings, history = job.settings(claim.settings), History()
    try:
        model = load_with_adapter(job.training.base[1], job.training.base_name, settings)
        checkpoints = Checkpoints(job.checkpoints(claim.number), _identity(job, settings))
        trainer = Trainer(model, rows, validation, settings, checkpoints)
        history = trainer.history
        watch = _watch(claim, trainer, parent, tally)
        watch(history, len(trainer.steps))  # what an earlier attempt had reached
        trainer.run(watch)
    except optuna.TrialPruned as hopeless:
        return _end(claim, history, "pruned", str(hopeless))
    except (MemoryError, torch.OutOfMemoryError):
        return _end(claim, history, "failed", f"out of memory after step {history.step}")
    if history.stopped is not None and history.stopped.startswith("diverged: "):
        return _end(claim, history, "diverged", history.stopped.removeprefix("diverged: "))
    return _end(claim, history, "complete", None)


def _watch(claim: Claim, trainer: Trainer, parent: int, tally: _Tally) -> Callable[[History, int], None]:
    told, counted = 1, trainer.history.tokens  # the validation before the first step is the same for all

    def watch(history: History, steps: int) -> None:
        nonlocal told, counted
        tally.add(history.tokens - counted)
        counted = history.tokens
        if os.getppid() != parent:
            trainer.save()
            raise BrokenEnvironment(f"the process that asked for it ended at step {history.step}")
        for validation, (step, loss) in enumerate(history.validation_loss[told:], told):
            told = validation + 1
            if claim.report(validation, loss) and history.stopped is None:
                raise optuna.TrialPruned(f"worse than the median of other trials after step {step}")

    return watch


def _judges(job: SearchJob, validation: Sequence[Row]) -> list[Row]:
    """The first rows: those that a `Trainer` steers by whatever it is set to, so that all are judged by the same."""
    searched = "batch_tokens" in job.search.space
    most = _JUDGED_TOKENS if searched else max(_JUDGED_TOKENS, 2 * job.training.settings.batch_tokens)
    ends = itertools.accumulate(len(row.ids) for row in validation)
    return [row for row, end in zip(validation, ends, strict=True) if end <= most] or [validation[0]]


def _identity(job: SearchJob, settings: Training) -> str:
    text = job.identity() + settings.model_dump_json(exclude_none=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _end(claim: Claim, history: History, state: State, reason: str | None) -> Tried:
    return Tried(
        number=claim.number,
        state=state,
        settings=claim.settings,
        validation_loss=None if history.best_loss is None else round(history.best_loss, 6),
        steps=history.step,
        reason=reason,
    )


def _line(tried: Tried, planned: int) -> str:
    settings = ", ".join(f"{name} {show(value)}" for name, value in tried.settings.items())
    loss = "" if tried.validation_loss is None else f", validation loss {tried.validation_loss:.4f}"
    reason = f" ({tried.reason})" if tried.reason else ""
    return f"trial {tried.number} of {planned}: {settings}: {tried.state}{reason} after {tried.steps} steps{loss}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:])))
