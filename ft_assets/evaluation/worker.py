"""The evaluation process: `python -m ft_assets.evaluation.worker JOB.json`, launched by Dagster Pipes or by hand.

It alone imports torch, and gives the memory back by ending. Every arm is asked by one engine, in one dtype,
in the same batches of rows.
"""

import logging
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.evaluation.cache import Said, SaidCache
from ft_assets.evaluation.comparison import result_schema
from ft_assets.evaluation.honesty.measure import HonestyTests
from ft_assets.evaluation.job import ArmJob, EvaluationJob, Outcome
from ft_assets.evaluation.measure import measures
from ft_assets.evaluation.metrics.scorers import Answered, Scorers
from ft_assets.evaluation.progress import Progress
from ft_assets.evaluation.retention import Harness
from ft_assets.evaluation.rows import EvalRow, in_batches, read_eval_rows
from ft_assets.evaluation.whole_rows import write_rows_whole
from ft_assets.recipe_evaluation import LOSS
from ft_assets.storage.voice import Say, voice
from ft_assets.training.job import write_whole

if TYPE_CHECKING:
    from ft_assets.evaluation.generation import Engine

logger = logging.getLogger("ft_assets.evaluation")


def main(job_file: Path) -> int:
    """Evaluate, write the outcome, and return the exit code."""
    job = EvaluationJob.model_validate_json(job_file.read_text())
    logging.basicConfig(filename=job.log, format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it would name every request to a judge
    with voice(logger) as say:
        try:
            outcome = evaluate(job, say, os.getppid())
        except Exception as error:
            logger.exception("evaluation failed")
            outcome = Outcome.by(error)
        write_whole(job.outcome, outcome.model_dump_json(indent=2))
    return 0 if outcome.failure is None else 1


def evaluate(job: EvaluationJob, say: Say, parent: int) -> Outcome:
    """Measure every arm on every row, skip what is known already, and write the results whole."""
    begun = time.monotonic()

    def alive() -> None:
        if os.getppid() != parent:
            raise BrokenEnvironment("the process that asked for it ended; what was measured is kept")

    # These first: what cannot be measured is told before anything is.
    scorers = Scorers(job.settings, job.cache / "judged", say, alive)
    retention = job.settings.retention and Harness(job, job.settings.retention, say, alive)
    honesty = job.honesty and HonestyTests(job, job.honesty)
    rows, known = read_eval_rows(job.rows[1], job.settings.max_rows, job.epoch), SaidCache(job)
    if not rows:
        raise WrongInput(
            "the eval split has no row, so nothing can be judged; add data, or raise `splitting.eval`"
        )
    progress = _answer(job, [rows, honesty.rows if honesty else []], known, say, alive)
    if honesty is not None:
        honesty.write_asked(lambda arm, row: _said(job, arm, row, known))
        honesty.write_exposed(lambda: _load(job), alive)
    if retention is not None:
        retention.measure(_device(job))
    write_rows_whole(job.output, _results(job, rows, known, scorers), result_schema(measures(job.settings)))
    return Outcome(
        seconds=round(time.monotonic() - begun, 1),
        tokens_per_s=progress.tokens_per_s,
        peak_memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        rows_reused=progress.reused,
        judges=scorers.bills,
        function_failures=scorers.failures,
    )


def _answer(
    job: EvaluationJob,
    groups: Sequence[Sequence[EvalRow]],
    known: SaidCache,
    say: Say,
    alive: Callable[[], None],
) -> Progress:
    """Ask the arms what is not known of them yet. The engine and its memory are gone when this returns.

    Args:
        groups: rows that are asked together; those of two groups never share a batch.
    """
    size = job.settings.batch_size
    left = [(arm, batch) for arm in job.arms for rows in groups for batch in _unknown(known, arm, rows, size)]
    progress = Progress(job, say, sum(map(len, groups)) * len(job.arms), sum(len(batch) for _, batch in left))
    if not left:
        return progress
    engine = _load(job)
    progress.start(_device(job))
    for arm, batch in left:
        alive()
        said = ask(engine, arm, batch, job.settings.max_new_tokens)
        for row, one in zip(batch, said, strict=True):
            known.put(arm, row, one)
        progress.note(arm.name, said)
    return progress


def ask(engine: "Engine", arm: ArmJob, rows: Sequence[EvalRow], max_new_tokens: int) -> list[Said]:
    """Score the references and generate answers, as one batch.

    A row longer than the context, which no arm can read, counts for every arm as a uniform guess and no answer.
    """
    readable = [row for row in rows if engine.fits(row.turns)]
    adapter = arm.name if arm.adapter else None
    examined = engine.examine([row.turns for row in readable], adapter, max_new_tokens)
    said = {
        row.id: Said(one.nats, one.tokens, one.answer.text, one.answer.answer_tokens)
        for row, one in zip(readable, examined, strict=True)
    }
    guess = Said(math.log(engine.vocabulary), 1, "", 0)
    return [said.get(row.id, guess) for row in rows]


def _unknown(known: SaidCache, arm: ArmJob, rows: Sequence[EvalRow], size: int) -> Iterator[list[EvalRow]]:
    for batch in in_batches(rows, size):
        if missing := [row for row in batch if known.get(arm, row) is None]:
            yield missing


def _load(job: EvaluationJob) -> "Engine":
    from transformers.utils import logging as transformers_logging

    from ft_assets.evaluation.generation import Engine

    transformers_logging.disable_progress_bar()
    engine = Engine.load(job.base[1], job.device)
    for arm in job.arms:
        if arm.adapter is not None:
            engine.add_adapter(arm.name, arm.adapter[1])
    return engine


def _device(job: EvaluationJob) -> str:
    from ft_assets.recipe import Training
    from ft_assets.training.adapters import choose_device

    return choose_device(Training.model_validate({"device": job.device})).type


def _results(
    job: EvaluationJob, rows: Sequence[EvalRow], known: SaidCache, scorers: Scorers
) -> list[dict[str, object]]:
    asked = [(arm, row, _said(job, arm, row, known)) for arm in job.arms for row in rows]
    columns = scorers.score([Answered(row, said.answer) for _, row, said in asked])
    return [
        {**_result(arm, row, said), **{name: column[at] for name, column in columns.items()}}
        for at, (arm, row, said) in enumerate(asked)
    ]


def _said(job: EvaluationJob, arm: ArmJob, row: EvalRow, known: SaidCache) -> Said:
    said = known.get(arm, row)
    if said is None:
        raise BrokenEnvironment(f"{job.cache} lost a result while it was in use; run the evaluation again")
    return said


def _result(arm: ArmJob, row: EvalRow, said: Said) -> dict[str, object]:
    return {
        "arm": arm.name,
        "id": row.id,
        "slice": row.slice,
        "cluster": row.cluster,
        "prompt": row.prompt,
        "reference": row.reference,
        "answer": said.answer,
        "answer_tokens": said.tokens,
        LOSS: said.nats / said.tokens,
    }


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
