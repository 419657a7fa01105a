"""The training process: `python -m ft_assets.training.worker JOB.json`, launched by Dagster Pipes or by hand.

It alone imports torch, and gives the memory back by ending. What it has to tell is in the job's work folder:
adapter, outcome, progress, log and checkpoints. Where the job asks for several processes, it starts them and waits.
"""

import fcntl
import json
import logging
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ft_assets.errors import BrokenEnvironment
from ft_assets.storage.voice import Say, voice
from ft_assets.training.budget import Budget
from ft_assets.training.diagnosis import diagnose
from ft_assets.training.history import History
from ft_assets.training.job import Outcome, TrainingJob, write_whole
from ft_assets.training.progress import Progress
from ft_assets.training.tracking import Trackers

if TYPE_CHECKING:
    from ft_assets.training.ranks import Ranks
    from ft_assets.training.sft import Trainer

logger = logging.getLogger("ft_assets.training")


def main(job_file: Path) -> int:
    """Train, write the outcome, and return the exit code."""
    job = TrainingJob.model_validate_json(job_file.read_text())
    parent = os.getppid()
    with alone(job), log_in(job.log), voice(logger) as say:
        outcome = attempt(lambda: _train_as_told(job, say, parent))
        write_whole(job.outcome, outcome.model_dump_json(indent=2))
    return 0 if outcome.failure is None else 1


def attempt(work: Callable[[], Outcome]) -> Outcome:
    """What `work` returns, or how it failed, in words; the log has the rest."""
    try:
        return work()
    except Exception as error:
        logger.exception("training failed")
        return Outcome.by(error)


def _train_as_told(job: TrainingJob, say: Say, parent: int) -> Outcome:
    if job.scale is None:
        return train(job, say, parent)
    from ft_assets.training.scale import train_in_ranks

    return train_in_ranks(job, say, parent)


def train(job: TrainingJob, say: Say, parent: int, ranks: "Ranks | None" = None) -> Outcome:
    """Train from the newest checkpoint, if any, and write the adapter's folder whole.

    Args:
        parent: process id; when it is no longer our parent's, the training is saved and stops.
        ranks: the processes that train together, of which this is one; only the first one speaks and writes.
    """
    import torch
    from transformers import AutoTokenizer

    from ft_assets.training.adapters import load_with_adapter
    from ft_assets.training.checkpoints import Checkpoints
    from ft_assets.training.curves import draw_curves
    from ft_assets.training.ranks import Ranks
    from ft_assets.training.rows import longest_row, read_rows
    from ft_assets.training.sft import Trainer
    from ft_assets.training.trouble import plain_trouble

    torch.use_deterministic_algorithms(True, warn_only=True)
    begun, settings, ranks = time.monotonic(), job.settings, ranks or Ranks()
    tokenizer = AutoTokenizer.from_pretrained(job.base[1], local_files_only=True)
    longest = longest_row(job.base[1], settings.max_tokens)
    rows, left_out = read_rows(tokenizer, job.train[1], longest)
    validation, _ = read_rows(tokenizer, job.validation[1], longest)
    model = load_with_adapter(job.base[1], job.base_name, settings, job.scale)
    checkpoints = Checkpoints(job.checkpoints, job.identity())
    trainer = Trainer(model, rows, validation, settings, checkpoints, ranks)
    budget = Budget(job, trainer)
    if not ranks.first:
        with plain_trouble(trainer.history):
            trainer.run(budget.check)
        return Outcome()
    say(_opening(trainer, longest, left_out))
    trackers = Trackers(job, trainer.resumed_from, say)
    progress = Progress(job, say, _ceiling(trainer), budget.used, trackers)
    progress.begin(trainer.history)

    def watch(history: History, steps: int) -> None:
        budget.check(history, steps)
        progress.note(history, steps)
        if os.getppid() != parent:  # whoever asked for this was killed; the next run goes on from here
            trainer.save()
            raise BrokenEnvironment(f"the process that asked for it ended at step {history.step}")

    with plain_trouble(trainer.history):
        trainer.run(watch)
    history = trainer.history
    _write_output(job, trainer, left_out)
    said = diagnose(history.train_loss, history.validation_loss, history.stopped)
    say(f"stopped at step {history.step} ({history.stopped}); best step {history.best_step}; {said}")
    _, pace = progress.pace(history)
    return Outcome(
        seconds=round(time.monotonic() - begun, 1),
        tokens_per_s=pace,
        utilisation=progress.utilisation(history),
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        resumed_from=trainer.resumed_from,
        curves_png=draw_curves(history),
    )


def _write_output(job: TrainingJob, trainer: "Trainer", left_out: int) -> None:
    from ft_assets.training.adapters import write_adapter

    draft = job.output.with_name(".adapter.draft")
    for folder in (draft, job.output):
        shutil.rmtree(folder, ignore_errors=True)
    draft.mkdir()
    write_adapter(trainer.model, draft)
    history = trainer.history
    # No times and no places: the same inputs must give the same bytes.
    facts = {
        "steps": history.step,
        "epochs": round(history.rows / len(trainer.rows), 4),
        "rows": len(trainer.rows),
        "tokens": history.tokens,
        "left_out_rows": left_out,
        "train_loss": history.train_loss,
        "gradient_norm": history.gradient_norm,
        "validation_loss": history.validation_loss,
        "validation_rows": len(trainer.validation),
        "best_step": history.best_step,
        "stopped": history.stopped,
        "settings": job.settings.model_dump(mode="json"),
        "base_digest": job.base[0],
        "train_digest": job.train[0],
        "validation_digest": job.validation[0],
    }
    (draft / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
    draft.rename(job.output)


def _ceiling(trainer: "Trainer") -> float:
    """Tokens a second if each process's part of the machine did nothing but the matrix products that are needed."""
    from ft_assets.training.adapters import compute_dtype
    from ft_assets.training.flops import needed_flop, peak_flops

    tokens = sum(len(row.ids) for row in trainer.rows)
    peak = trainer.ranks.count * peak_flops(trainer.device, compute_dtype(trainer.device))
    return peak * tokens / needed_flop(trainer.model, trainer.rows)


def _opening(trainer: "Trainer", longest: int, left_out: int) -> str:
    import torch

    tokens = sum(len(trainer.rows[row].ids) for step in trainer.steps for row in step)
    parts = [
        f"{len(trainer.rows)} rows, {tokens} tokens, {len(trainer.steps)} steps on {trainer.device.type} "
        f"({torch.get_num_threads()} threads)"
    ]
    if trainer.ranks.count > 1:
        parts.append(f"shared by {trainer.ranks.count} processes")
    parts += _remarks(trainer, longest)
    if left_out:
        parts.append(f"{left_out} rows left out as longer than {longest} tokens")
    if trainer.resumed_from is not None:
        parts.append(f"resumed from the checkpoint of step {trainer.resumed_from}")
    return "; ".join(parts)


def _remarks(trainer: "Trainer", longest: int) -> Iterator[str]:
    """Where data and base are smaller than the settings ask for."""
    settings, tokens = trainer.settings, sum(len(row.ids) for row in trainer.rows)
    if tokens < settings.batch_tokens:
        yield f"all rows are {tokens} tokens, fewer than a step's (`training.batch_tokens: {settings.batch_tokens}`)"
    if longest < settings.max_tokens:
        yield f"`training.max_tokens: {settings.max_tokens}` is over the base's context of {longest}, which counts"


@contextmanager
def alone(job: TrainingJob) -> Iterator[None]:
    """Hold the job's work folder; waits for a process whose parent was killed to notice and end."""
    with (job.work / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        job.outcome.unlink(missing_ok=True)
        yield


@contextmanager
def log_in(file: Path) -> Iterator[None]:
    """Write what the training logs to a file."""
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
