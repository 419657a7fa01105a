"""kill -9 at random moments of training and saving: no resume is broken, and the bytes are those of a quiet run.

`FT_ASSETS_KILLS` is how many kills there are (default 6).
"""

import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest

from ft_assets.storage.artifacts import digest_folder
from ft_assets.training.job import TrainingJob, read_outcome
from ft_assets.training.worker import main
from ft_assets_tests.training.conftest import Jobs

pytestmark = pytest.mark.slow

_KILLS = int(os.environ.get("FT_ASSETS_KILLS", "6"))
_KILLS_A_TRAINING = 3
# A checkpoint after every step: about half of the time goes into saving.
_SETTINGS = {"epochs": 3, "dropout": 0.1, "validate_every": 1}


@pytest.mark.timeout(60 + 20 * _KILLS)
def test_no_kill_breaks_a_resume(new_job: Jobs) -> None:
    # Children of a process that has imported torch and PEFT start in milliseconds.
    children = multiprocessing.get_context("forkserver")
    children.set_forkserver_preload(
        ["ft_assets.training.worker", "ft_assets.training.sft", "ft_assets.training.curves"]
    )
    draw = random.Random(0)

    def train(job: TrainingJob, seconds: float | None = None) -> bool:
        """Whether the training ended before it was killed, after so many seconds."""
        child = children.Process(target=_train, args=(job.work / "job.json",))
        child.start()
        child.join(seconds)
        child.kill()
        child.join()
        assert child.exitcode in (0, -9), job.log.read_text()
        return child.exitcode == 0

    quiet = new_job("quiet", **_SETTINGS)
    train(quiet)  # the first one waits for the imports
    begun = time.monotonic()
    again = new_job("again", **_SETTINGS)
    assert train(again)
    usual = time.monotonic() - begun
    expected = digest_folder(quiet.output)
    assert digest_folder(again.output) == expected

    kills = trainings = resumed = 0
    while kills < _KILLS or not resumed:  # on a busy machine all may come before the first checkpoint
        trainings += 1
        job = new_job(f"killed-{trainings}", **_SETTINGS)
        for _ in range(_KILLS_A_TRAINING):
            if train(job, draw.uniform(0, usual)):
                break
            kills += 1
        assert train(job)
        assert digest_folder(job.output) == expected
        resumed += read_outcome(job).resumed_from is not None


def _train(job_file: Path) -> None:
    raise SystemExit(main(job_file))
