"""The alignment process: `python -m ft_assets.training.align_worker JOB.json`, launched by Dagster Pipes or by hand.

It alone imports torch and TRL, and gives the memory back by ending. It keeps no checkpoints, as those of TRL's trainers
are not written atomically: a killed alignment starts anew from the SFT adapter, and ends at the same bytes.
"""

import fcntl
import json
import logging
import os
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ft_assets.recipe import Training
from ft_assets.storage.meter import Usage, tell_usage
from ft_assets.storage.parents import exit_with_parent
from ft_assets.storage.voice import Say, voice
from ft_assets.training.align_job import AlignmentJob, AlignmentOutcome, refuse_few
from ft_assets.training.job import write_whole
from ft_assets.training.preference_margins import accuracy, margins, rise
from ft_assets.training.preferences import Pair, Preferences, read_judged, read_pairs
from ft_assets.training.rows import longest_row

logger = logging.getLogger("ft_assets.alignment")


def main(job_file: Path) -> int:
    """Align, write the outcome, and return the exit code."""
    job = AlignmentJob.model_validate_json(job_file.read_text())
    logging.basicConfig(filename=job.log, format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    # Waits for a process whose parent was killed to notice and end.
    with (job.work / "lock").open("w") as file, voice(logger) as say:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            outcome = align(job, say)
        except Exception as error:
            logger.exception("alignment failed")
            outcome = AlignmentOutcome.by(error)
        write_whole(job.outcome, outcome.model_dump_json(indent=2))
    return 0 if outcome.failure is None else 1


def align(job: AlignmentJob, say: Say) -> AlignmentOutcome:
    """Train the SFT adapter on preferences, judge it on the validation split's, and write its folder whole."""
    # TRL's trainers refuse to run in one process that sees several GPUs.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    import torch
    from transformers import AutoTokenizer

    from ft_assets.training.adapters import choose_device
    from ft_assets.training.alignment import load_to_align, make_trainer, train

    torch.use_deterministic_algorithms(True, warn_only=True)
    begun, settings = time.monotonic(), job.settings
    tokenizer = AutoTokenizer.from_pretrained(job.base[1], local_files_only=True)
    read: Any = read_judged if settings.method == "kto" else read_pairs
    longest = longest_row(job.base[1], settings.max_tokens)
    learnt: Preferences[Any] = read(tokenizer, job.train[1], longest)
    held_out = read_pairs(tokenizer, job.validation[1], longest)
    refuse_few(len(learnt.rows), settings, f"the train split, up to {longest} tokens a row,")
    device = choose_device(Training(device=job.device))
    tell_usage(job.work, Usage(device=device.type))
    model = load_to_align(job.base[1], job.adapter[1], device)
    say(f"{settings.method} on {len(learnt.rows)} rows; {learnt.left_out} left out as too long")
    per_token = settings.method == "orpo"
    before = margins(model, held_out.rows, per_token)
    trainer = make_trainer(model, tokenizer, learnt.rows, settings, job.work / "trl")
    tokens = sum(row.tokens for row in learnt.rows)

    def tell(line: str) -> None:
        used = Usage(device=device.type, tokens=round(tokens * (trainer.state.epoch or 0)))
        tell_usage(job.work, used)
        say(line)

    losses = train(trainer, tell)
    after = margins(model, held_out.rows, per_token)
    _write_output(job, model, _facts(job, learnt, losses, held_out, before, after))
    return AlignmentOutcome(
        seconds=round(time.monotonic() - begun, 1),
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    )


def _facts(
    job: AlignmentJob,
    learnt: Preferences[Any],
    losses: Sequence[tuple[int, float]],
    held_out: Preferences[Pair],
    before: Sequence[float],
    after: Sequence[float],
) -> dict[str, Any]:
    # No times and no places: the same inputs must give the same bytes.
    return {
        "steps": losses[-1][0],
        "rows": len(learnt.rows),
        "left_out_rows": learnt.left_out,
        "train_loss": losses,
        "validation": judge(held_out.rows, before, after) | {"left_out_rows": held_out.left_out},
        "settings": job.settings.model_dump(mode="json"),
        "base_digest": job.base[0],
        "adapter_digest": job.adapter[0],
        "train_digest": job.train[0],
        "validation_digest": job.validation[0],
    }


def judge(pairs: Sequence[Pair], before: Sequence[float], after: Sequence[float]) -> dict[str, Any]:
    """Margins (`margins`) and accuracies of the SFT adapter and of the aligned one, and the rise from one to the other.

    `rise` is null where the rows are too few for an interval.
    """
    clusters = [pair.cluster for pair in pairs]
    found = rise(before, after, clusters)
    return {
        "rows": len(pairs),
        "clusters": len(set(clusters)),
        **{arm: _arm(values) for arm, values in (("before", before), ("after", after))},
        "rise": {name: round(value, 6) for name, value in vars(found).items()} if found else None,
    }


def _arm(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"margin": round(sum(values) / len(values), 6), "accuracy": round(accuracy(values), 6)}


def _write_output(job: AlignmentJob, model: Any, facts: dict[str, Any]) -> None:
    from ft_assets.training.adapters import write_adapter

    draft = job.output.with_name(".aligned_adapter.draft")
    for folder in (draft, job.output):
        shutil.rmtree(folder, ignore_errors=True)
    draft.mkdir()
    write_adapter(model, draft)
    (draft / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
    draft.rename(job.output)


if __name__ == "__main__":
    exit_with_parent()
    sys.exit(main(Path(sys.argv[1])))
