"""One training by several processes: started, listened to and waited for by the training process.

They are its children, so that they end when it does; it ends them all when one of them fails.
"""

import multiprocessing
import os
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

from torch.multiprocessing.spawn import ProcessException, start_processes  # noqa: TID253

from ft_assets.errors import BrokenEnvironment, FtAssetsError
from ft_assets.storage.voice import Say
from ft_assets.training import rank
from ft_assets.training.job import Outcome, TrainingJob

_START = "spawn"  # a GPU can't be used in a fork of a process that has looked at it
_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDARY = (signal.SIGTERM, signal.SIGABRT)
"""How processes end for want of one that ended before: told to by us, or by NCCL."""


def train_in_ranks(job: TrainingJob, say: Say, parent: int) -> Outcome:
    """Train by as many processes as the job's `scale` says; the first one writes the adapter's folder whole.

    Raises:
        FtAssetsError: one of them failed; of the same kind as what it failed by.
        BrokenEnvironment: one of them was killed.
    """
    assert job.scale is not None
    for file in (rank.meeting_file(job), *_outcome_files(job)):
        file.unlink(missing_ok=True)  # left by a run that was killed
    reader, writer = multiprocessing.Pipe(duplex=False)
    crew = start_processes(rank.main, (job, writer), job.scale.processes, join=False, start_method=_START)
    assert crew is not None
    processes = cast(list[BaseProcess], crew.processes)
    try:
        while not crew.join(_SECONDS_BETWEEN_LOOKS):
            _pass_on(reader, say)
            if os.getppid() != parent:
                raise BrokenEnvironment("the process that asked for it ended; checkpoints are kept")
    except ProcessException as error:
        codes = [process.exitcode for process in processes]
        raise _trouble(job, codes) or BrokenEnvironment(str(error)) from error
    finally:
        _pass_on(reader, say)
        for process in processes:
            process.terminate()
            process.join()
    return Outcome.model_validate_json(rank.outcome_file(job, 0).read_text())


def _pass_on(reader: Connection, say: Say) -> None:
    while reader.poll():
        say(reader.recv())


def _trouble(job: TrainingJob, codes: Sequence[int | None]) -> FtAssetsError | None:
    """Why the crew ended: what happened first, for the others then fail for want of one."""
    for number, code in enumerate(codes, 1):
        if code is not None and code < 0 and -code not in _SECONDARY:
            return BrokenEnvironment(
                f"process {number} of {len(codes)} was killed by {signal.Signals(-code).name} (out of memory?); run it "
                f"again and it goes on from the last checkpoint"
            )
    return next((ended.raised(ended.failure) for ended in _outcomes(job) if ended.failure is not None), None)


def _outcomes(job: TrainingJob) -> list[Outcome]:
    """What the processes told, in the order in which they ended."""
    files = sorted(_outcome_files(job), key=lambda file: file.stat().st_mtime_ns)
    return [Outcome.model_validate_json(file.read_text()) for file in files]


def _outcome_files(job: TrainingJob) -> list[Path]:
    return [*job.work.glob("rank-*.json")]
