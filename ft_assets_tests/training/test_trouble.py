"""A training that runs out of disk or memory says so, and goes on from its last checkpoint when there is room."""

import json
import subprocess
import sys

import pytest
import torch  # noqa: TID253

from ft_assets.errors import BrokenEnvironment
from ft_assets.storage.artifacts import digest_folder
from ft_assets.training.history import History
from ft_assets.training.trouble import plain_trouble
from ft_assets_tests.training.conftest import Jobs, run_here

# Runs the job, and lets the operating system refuse to write as soon as step 4 is saved.
_FULL_AFTER_STEP_4 = """
import resource, sys
from pathlib import Path
from ft_assets.training import checkpoints, worker
saved = checkpoints.Checkpoints.save
def save(self, step, *content):
    if step > 4:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    saved(self, step, *content)
checkpoints.Checkpoints.save = save
sys.exit(worker.main(Path(sys.argv[1])))
"""
_SETTINGS = {"epochs": 4, "validate_every": 2}


@pytest.mark.slow
def test_a_full_disk_is_told_and_costs_nothing(new_job: Jobs) -> None:
    quiet, job = new_job("quiet", **_SETTINGS), new_job("full", **_SETTINGS)
    run_here(quiet)
    command = [sys.executable, "-c", _FULL_AFTER_STEP_4, str(job.work / "job.json")]
    ended = subprocess.run(command, capture_output=True, check=False)
    assert ended.returncode == 1, ended.stderr
    told = json.loads(job.outcome.read_text())["failure"]
    assert (
        told.startswith("no room on disk for the checkpoint of step 6") and "the same command goes on" in told
    )
    assert [path.name for path in job.checkpoints.glob("*/.draft*")] == []
    assert run_here(job).resumed_from == 4
    assert digest_folder(job.output) == digest_folder(quiet.output)


def test_running_out_of_memory_is_told_with_what_to_try() -> None:
    with (
        pytest.raises(BrokenEnvironment, match=r"out of memory after step 3; .*max_tokens.* last checkpoint"),
        plain_trouble(History(step=3)),
    ):
        torch.empty(1 << 50)


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), plain_trouble(History()):
        torch.ones(2, 3) @ torch.ones(2, 3)
