"""One of the processes that `torchrun` or `accelerate launch` started, for a training over several machines.

`torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:PORT -m ft_assets.training.launched
JOB.json`, on each of them. The job's folders must be on a disk that all of them see. A finished training is picked up
by the asset's next materialization, which finds nothing left to do. What the processes tell one another is neither
signed nor encrypted: only for a network that one trusts.
"""

import os
import sys
from contextlib import nullcontext
from pathlib import Path

from ft_assets.errors import WrongInput
from ft_assets.recipe_training import Scale
from ft_assets.storage.voice import Say, voice
from ft_assets.training.job import Outcome, TrainingJob, write_whole
from ft_assets.training.worker import alone, attempt, log_in, logger, train


def main(job_file: Path) -> int:
    """Train this process's share; the first process writes the outcome. Returns the exit code."""
    if "RANK" not in os.environ:
        raise WrongInput(
            "start this by `torchrun … -m ft_assets.training.launched JOB.json`, which names the processes"
        )
    number, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    job = _scaled(TrainingJob.model_validate_json(job_file.read_text()), count)
    with alone(job) if number == 0 else nullcontext(), log_in(job.log), voice(logger) as say:
        outcome = attempt(lambda: _train(job, number, count, say))
        if number == 0:
            write_whole(job.outcome, outcome.model_dump_json(indent=2))
    return 0 if outcome.failure is None else 1


def _scaled(job: TrainingJob, count: int) -> TrainingJob:
    """The job by as many processes as were started, whatever it says itself."""
    if count == 1:
        return job.model_copy(update={"scale": None})
    scale = (job.scale or Scale(processes=count)).model_copy(update={"processes": count})
    return job.model_copy(update={"scale": scale})


def _train(job: TrainingJob, number: int, count: int, say: Say) -> Outcome:
    import torch

    from ft_assets.training.adapters import choose_device
    from ft_assets.training.ranks import meet

    device = choose_device(job.settings)
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    if count == 1:
        return train(job, say, os.getppid())
    with meet(number, count, device, "env://") as ranks:
        return train(job, say, os.getppid(), ranks)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
