"""The search process: `python -m ft_assets.training.search_worker JOB.json`, launched by Dagster Pipes or by hand.

It starts the processes that train the trials, waits for them, and writes the study. Killed at any moment and run
again, it goes on with the trials that are left.
"""

import fcntl
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TextIO

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.storage.child import Ended
from ft_assets.storage.voice import Say, voice
from ft_assets.training.job import write_whole
from ft_assets.training.search_job import SearchJob, SearchOutcome
from ft_assets.training.search_result import STUDY_FILE, StudyResult, Tried

if TYPE_CHECKING:
    from ft_assets.training.search_study import SearchStudy

logger = logging.getLogger("ft_assets.training.search")

_SECONDS_BETWEEN_LOOKS = 0.5


def main(job_file: Path) -> int:
    """Search, write the outcome, and return the exit code."""
    job = SearchJob.model_validate_json(job_file.read_text())
    parent = os.getppid()
    logging.basicConfig(filename=job.log, format="%(asctime)s %(levelname)s %(message)s")
    logger.setLevel(logging.INFO)
    with _alone(job) as lock, voice(logger) as say:
        try:
            outcome = search(job, say, parent, lock)
        except Exception as error:
            logger.exception("search failed")
            outcome = SearchOutcome.by(error)
        write_whole(job.outcome, outcome.model_dump_json(indent=2))
    return 0 if outcome.failure is None else 1


def search(job: SearchJob, say: Say, parent: int, lock: TextIO) -> SearchOutcome:
    """Have the trials trained that are left, and write the study's folder whole."""
    from ft_assets.training.search_study import SearchStudy

    begun, study = time.monotonic(), SearchStudy(job)
    study.release_abandoned()
    kept = len(study.tried())
    say(f"{study.planned} trials, {kept} of them finished before; {job.search.parallel} at a time")
    if kept < study.planned:
        _train(job, say, parent, lock, min(job.search.parallel, study.planned - kept))
    outcome = conclude(job, study)
    return outcome.model_copy(update={"seconds": round(time.monotonic() - begun, 1), "trials_kept": kept})


def conclude(job: SearchJob, study: "SearchStudy") -> SearchOutcome:
    """Write the study of finished trials, and draw it.

    Raises:
        BrokenEnvironment: trials are missing.
        WrongInput: no trial is complete.
    """
    from ft_assets.training.search_pictures import draw_importances, draw_trials

    trials = study.tried()
    if len(trials) < study.planned:
        raise BrokenEnvironment(
            f"a process was killed (out of memory?) and {study.planned - len(trials)} of {study.planned} trials are "
            f"left; lower `search.parallel` or `training.batch_tokens`, or run it again as it is to go on"
        )
    _write_output(job, trials)
    importances = study.importances()
    return SearchOutcome(
        trials_png=draw_trials(trials),
        importances_png=None if importances is None else draw_importances(importances),
    )


def _train(job: SearchJob, say: Say, parent: int, lock: TextIO, count: int) -> None:
    """Run `count` processes to their ends.

    They inherit the lock: should this process be killed, the next one waits until they have noticed and ended.
    """
    reader, writer = os.pipe()
    crew = [_start(job, number, writer, lock) for number in range(count)]
    os.close(writer)
    with os.fdopen(reader) as lines, _ended(crew):
        told = Thread(target=lambda: [say(line.rstrip()) for line in lines], daemon=True)
        told.start()
        for process in crew:
            _wait(process, parent)
        told.join()
    if failures := [*_failures(job, count)]:
        raise failures[0].raised("; ".join(sorted({failure.failure or "" for failure in failures})))


def _failures(job: SearchJob, count: int) -> Iterator[Ended]:
    """Why processes ended early."""
    for number in range(count):
        if job.failure(number).exists():
            yield Ended.model_validate_json(job.failure(number).read_text())


def _start(job: SearchJob, number: int, writer: int, lock: TextIO) -> subprocess.Popen[bytes]:
    job.failure(number).unlink(missing_ok=True)
    module = "ft_assets.training.search_trials"
    command = [sys.executable, "-m", module, str(job.file), str(number), str(os.getpid())]
    return subprocess.Popen(command, stdout=writer, pass_fds=[lock.fileno()])


def _wait(process: subprocess.Popen[bytes], parent: int) -> None:
    """Wait for a process while our own parent, who asked for all this, is there."""
    while True:
        try:
            process.wait(_SECONDS_BETWEEN_LOOKS)
            return
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                raise BrokenEnvironment(
                    "the process that asked for it ended; finished trials are kept"
                ) from None


@contextmanager
def _ended(crew: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Leaves no process behind, however the block is left."""
    try:
        yield
    finally:
        for process in crew:
            process.terminate()
            process.wait()


def _write_output(job: SearchJob, trials: Sequence[Tried]) -> None:
    losses = {
        tried.number: tried.validation_loss
        for tried in trials
        if tried.state == "complete" and tried.validation_loss is not None
    }
    if not losses:
        last = trials[-1]
        raise WrongInput(
            f"none of {len(trials)} trials came to its end (trial {last.number}: {last.reason}); narrow `search.space`"
        )
    best = min(losses, key=lambda number: losses[number])
    result = StudyResult(
        best_trial=best,
        best_settings=trials[best - 1].settings,
        best_validation_loss=losses[best],
        trials=[*trials],
        search=job.search,
        training=job.training.settings,
        base_digest=job.training.base[0],
        train_digest=job.training.train[0],
        validation_digest=job.training.validation[0],
    )
    draft = job.output.with_name(".study.draft")
    for folder in (draft, job.output):
        shutil.rmtree(folder, ignore_errors=True)
    draft.mkdir()
    (draft / STUDY_FILE).write_text(result.model_dump_json(indent=2) + "\n")
    draft.rename(job.output)


@contextmanager
def _alone(job: SearchJob) -> Iterator[TextIO]:
    """Hold the job's work folder; waits for processes whose parent was killed to notice and end."""
    with (job.work / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        job.outcome.unlink(missing_ok=True)
        yield file


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
