"""One of the processes that train an adapter together: what `scale.train_in_ranks` starts several times."""

import fcntl
import multiprocessing
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from ft_assets.errors import WrongInput
from ft_assets.training.job import Outcome, TrainingJob, write_whole
from ft_assets.training.worker import attempt, log_in, logger, train


def main(number: int, job: TrainingJob, lines: Connection) -> None:
    """Train this process's share, and end with an exit code; the outcome of this process is in its file.

    Args:
        lines: where the first process sends what it has to say.
    """
    _end_with_parent()
    with log_in(job.log):
        outcome = attempt(lambda: _train(number, job, lines))
    write_whole(outcome_file(job, number), outcome.model_dump_json())
    sys.exit(0 if outcome.failure is None else 1)


def outcome_file(job: TrainingJob, number: int) -> Path:
    """How one of a job's processes ended."""
    return job.work / f"rank-{number}.json"


def meeting_file(job: TrainingJob) -> Path:
    """By which a job's processes find each other."""
    return job.work / "meeting"


def _end_with_parent() -> None:
    """End this process when the one that asked for it is gone, however and whenever that died.

    The parent's process id would not do: it may have died while this process was still importing.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()


def _train(number: int, job: TrainingJob, lines: Connection) -> Outcome:
    import torch

    from ft_assets.training.adapters import choose_device
    from ft_assets.training.ranks import meet

    assert job.scale is not None
    count, device = job.scale.processes, choose_device(job.settings)
    logger.info("process %d of %d has id %d", number + 1, count, os.getpid())
    _stay_on_this_machine()
    if device.type == "cuda":
        _take_gpu(number, count)
    torch.set_num_threads(max(1, torch.get_num_threads() // count))
    with _only_writer(job, number), meet(number, count, device, f"file://{meeting_file(job)}") as ranks:
        return train(job, lines.send, os.getppid(), ranks)


def _take_gpu(number: int, count: int) -> None:
    import torch

    there = torch.cuda.device_count()
    if there < count:
        raise WrongInput(
            f"`scale.processes: {count}` wants a GPU for each, and this machine has {there}; write no more than "
            f"that, or leave `scale` out"
        )
    torch.cuda.set_device(number)


def _stay_on_this_machine() -> None:
    """What processes tell each other is neither signed nor encrypted, so it never leaves the loopback interface."""
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(variable, loopback)


@contextmanager
def _only_writer(job: TrainingJob, number: int) -> Iterator[None]:
    """Let the first process wait for that of a killed run to notice and end; the others then wait for the first."""
    if number != 0:
        yield
        return
    with (job.work / "rank.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
