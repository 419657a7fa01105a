"""torchrun starts the processes: the same steps, and the asset's own worker picks the training up."""

import subprocess
import sys

import pytest

from ft_assets.recipe_training import Scale
from ft_assets.storage.artifacts import digest_folder
from ft_assets.training import launched
from ft_assets.training.job import read_outcome
from ft_assets_tests.training.conftest import Jobs, run_here
from ft_assets_tests.training.test_scale import assert_same_training

pytestmark = pytest.mark.slow


def run(job, processes: int) -> subprocess.CompletedProcess[str]:
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"),
        *("-m", "ft_assets.training.launched", str(job.work / "job.json")),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_torchrun_takes_the_steps_that_one_process_takes(new_job: Jobs, strategy: str) -> None:
    one, two = new_job("one"), new_job("two")
    run_here(one)
    scale = Scale(processes=4, strategy=strategy)  # type: ignore[arg-type]  # torchrun's number counts
    (two.work / "job.json").write_text(two.model_copy(update={"scale": scale}).model_dump_json())
    told = run(two, 2)
    assert told.returncode == 0, told.stderr
    assert read_outcome(two).failure is None
    assert_same_training(one, two)
    made = digest_folder(two.output)
    run_here(two)  # as the asset would: nothing is left to do
    assert digest_folder(two.output) == made


def test_a_failure_is_told_in_the_outcome(new_job: Jobs) -> None:
    job = new_job("work", max_tokens=16)
    told = run(job, 2)
    assert told.returncode != 0
    assert "no row to train on" in job.outcome.read_text()


def test_started_by_hand_it_says_how_to_start_it(new_job: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(launched.WrongInput, match="torchrun"):
        launched.main(new_job().work / "job.json")
