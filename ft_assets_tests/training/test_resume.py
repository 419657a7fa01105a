"""kill -9 at any step, run again, and the adapter has the bytes it would have had."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ft_assets.storage.artifacts import digest_folder
from ft_assets.training.job import Outcome, TrainingJob
from ft_assets.training.worker import main
from ft_assets_tests.training.conftest import Jobs, run_here, start_worker

pytestmark = pytest.mark.slow
_uninterrupted: list[str] = []

SETTINGS = {"epochs": 12, "dropout": 0.1, "validate_every": 2}


def kill_after(job: TrainingJob, step: int) -> None:
    """Start the job's process and kill it once it has told that `step` is done."""
    process = start_worker(job)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("step ") and int(line.split()[1].partition("/")[0]) >= step:
            process.send_signal(signal.SIGKILL)
            break
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()


@pytest.fixture
def uninterrupted(new_job: Jobs) -> str:
    """Digest of the adapter that a training ends at which nobody disturbs; trained once for all tests."""
    if not _uninterrupted:
        job = new_job("uninterrupted", **SETTINGS)
        run_here(job)
        _uninterrupted.append(digest_folder(job.output))
    return _uninterrupted[0]


def test_killed_twice_and_resumed_ends_at_the_same_bytes(new_job: Jobs, uninterrupted: str):
    job = new_job("killed", **SETTINGS)
    kill_after(job, 4)
    assert not job.output.exists() and not job.outcome.exists()
    kill_after(job, 10)
    assert start_worker(job).wait() == 0
    outcome = Outcome.model_validate_json(job.outcome.read_text())
    assert outcome.resumed_from is not None and outcome.resumed_from >= 10
    assert digest_folder(job.output) == uninterrupted


def test_killed_after_training_but_before_writing_writes_the_same_bytes(new_job: Jobs, uninterrupted: str):
    job = new_job("late", **SETTINGS)
    run_here(job)
    for file in job.output.iterdir():
        file.unlink()
    job.output.rmdir()
    run_here(job)
    assert digest_folder(job.output) == uninterrupted


def test_damaged_newest_checkpoint_falls_back_and_ends_at_the_same_bytes(new_job: Jobs, uninterrupted: str):
    job = new_job("damaged", **SETTINGS)
    kill_after(job, 8)
    newest = max(job.checkpoints.glob("*/0*"))
    weights = newest / "state.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    outcome = run_here(job)
    assert outcome.resumed_from is not None and outcome.resumed_from < int(newest.name.partition("-")[0])
    assert digest_folder(job.output) == uninterrupted


def test_checkpoint_of_other_settings_is_not_resumed(new_job: Jobs):
    job = new_job("other", max_steps=4)
    run_here(job)
    changed = job.model_copy(update={"settings": job.settings.model_copy(update={"learning_rate": 5e-3})})
    assert run_here(changed).resumed_from is None


def test_worker_whose_parent_was_killed_saves_and_stops(new_job: Jobs):
    job = new_job("orphan", epochs=4000, validate_every=10_000)
    # A parent that starts the worker, passes its lines on, and is then killed.
    parent_code = (
        "import subprocess, sys; "
        "subprocess.run([sys.executable, '-m', 'ft_assets.training.worker', sys.argv[1]], stdout=1)"
    )
    command = [sys.executable, "-c", parent_code, str(job.work / "job.json")]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    for line in parent.stdout:
        if line.startswith("step "):
            parent.kill()
            break
    parent.stdout.read()  # ends when the orphan does
    parent.wait()
    told = json.loads(job.outcome.read_text())["failure"]
    assert "the process that asked for it ended" in told
    assert saved_steps(job.checkpoints) != []


def saved_steps(folder: Path) -> list[int]:
    return sorted(int(path.name.partition("-")[0]) for path in folder.glob("*/0*"))


def test_failure_is_told_in_words(new_job: Jobs):
    job = new_job("wrong", max_tokens=16)
    assert main(job.work / "job.json") == 1
    assert "training.max_tokens: 16" in json.loads(job.outcome.read_text())["failure"]
    assert "Traceback" in job.log.read_text()
