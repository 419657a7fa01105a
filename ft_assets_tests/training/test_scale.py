"""Several processes take the steps that one takes, share checkpoints with it, and end together."""

import json
import multiprocessing
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch  # noqa: TID253
from pydantic import ValidationError
from safetensors.torch import load_file

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.recipe import Recipe, Training
from ft_assets.recipe_training import Scale
from ft_assets.storage.artifacts import digest_folder
from ft_assets.training import rank, scale
from ft_assets.training.adapters import load_with_adapter, trained_parameters
from ft_assets.training.job import Outcome, TrainingJob
from ft_assets.training.packing import answer_loss, make_pack
from ft_assets.training.ranks import meet, share_out
from ft_assets.training.ranks_model import spread
from ft_assets.training.rows import Row
from ft_assets.training.scale import train_in_ranks
from ft_assets.training.worker import train
from ft_assets_tests.training.conftest import Jobs, run_here
from ft_assets_tests.training.test_resume import kill_after

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
DDP, FSDP = Scale(processes=2), Scale(processes=2, strategy="fsdp")
TOLERANCE = 1e-4  # relative, of every loss


@pytest.fixture(autouse=True)
def _start_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children of a process that has imported torch and PEFT start in milliseconds."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(scale, "_START", "forkserver")
    monkeypatch.setattr(scale, "_SECONDS_BETWEEN_LOOKS", 0.02)
    modules = ("rank", "sft", "curves", "ranks_model")
    multiprocessing.set_forkserver_preload([f"ft_assets.training.{name}" for name in modules])


def run_scaled(job: TrainingJob, scale: Scale, say: Callable[[str], object] = str) -> Outcome:
    return train_in_ranks(job.model_copy(update={"scale": scale}), say, os.getppid())


def facts(job: TrainingJob) -> dict:
    return json.loads((job.output / "training.json").read_text())


def assert_same_training(one: TrainingJob, other: TrainingJob) -> None:
    """Every loss of two trainings agrees within rounding, and so do their adapters."""
    for curve in ("train_loss", "validation_loss", "gradient_norm"):
        ours, theirs = facts(one)[curve], facts(other)[curve]
        assert [step for step, _ in ours] == [step for step, _ in theirs]
        assert [loss for _, loss in ours] == pytest.approx([loss for _, loss in theirs], rel=TOLERANCE)
    ours, theirs = (load_file(job.output / "adapter_model.safetensors") for job in (one, other))
    assert set(ours) == set(theirs)
    for name, weight in ours.items():
        assert (weight - theirs[name]).norm() <= TOLERANCE * weight.norm(), name


def at_step(step: int, act: Callable[[], object]) -> Callable[[str], None]:
    """Acts once, when it is told that a step is done."""
    acted = False

    def hear(line: str) -> None:
        nonlocal acted
        if not acted and line.startswith("step ") and int(line.split()[1].partition("/")[0]) >= step:
            acted = True
            act()

    return hear


def process_ids(job: TrainingJob) -> list[int]:
    """Ids of the processes that trained last, first to last."""
    told = re.findall(r"process (\d+) of 2 has id (\d+)", job.log.read_text())
    return [process for _, process in sorted((int(number), int(process)) for number, process in told[-2:])]


# Steps of a row or two, where a process often has none, and steps of several packs, where one may have more.
@pytest.mark.parametrize("batch_tokens", [80, 2048])
def test_two_processes_learn_what_one_learns(new_job: Jobs, batch_tokens: int) -> None:
    settings = {"batch_tokens": batch_tokens, "epochs": 8, "max_steps": 16, "weight_decay": 0.1}
    one = new_job("one", **settings)
    run_here(one)
    assert facts(one)["validation_loss"][-1][1] < 0.5 * facts(one)["validation_loss"][0][1]
    for how in (DDP, FSDP.model_copy(update={"checkpoint_activations": True})):
        two = new_job(how.strategy, **settings)
        run_scaled(two, how)
        assert_same_training(one, two)


def test_as_many_processes_give_the_same_bytes_again_also_when_one_was_killed(new_job: Jobs) -> None:
    settings = {"epochs": 12, "dropout": 0.1, "validate_every": 2}
    quiet, killed = new_job("quiet", **settings), new_job("killed", **settings)
    run_scaled(quiet, DDP)
    killed.log.touch()
    kill = at_step(6, lambda: os.kill(process_ids(killed)[1], signal.SIGKILL))
    with pytest.raises(
        BrokenEnvironment, match=r"process 2 of 2 was killed by SIGKILL .*goes on from the last checkpoint"
    ):
        run_scaled(killed, DDP, kill)
    assert all(not alive(process) for process in process_ids(killed))
    assert (run_scaled(killed, DDP).resumed_from or 0) >= 4
    assert digest_folder(killed.output) == digest_folder(quiet.output)


def test_two_processes_go_on_where_one_was_stopped(new_job: Jobs) -> None:
    one, job = new_job("one", validate_every=2), new_job("job", validate_every=2)
    run_here(one)

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(job, at_step(6, stop), os.getppid())
    assert (run_scaled(job, FSDP).resumed_from or 0) >= 6
    assert_same_training(one, job)


def test_one_process_goes_on_where_the_trainer_of_two_was_killed(new_job: Jobs) -> None:
    settings = {"epochs": 12, "validate_every": 2, "learning_rate": 2e-3}
    one, job = new_job("one", **settings), new_job("job", **settings)
    run_here(one)
    (job.work / "job.json").write_text(job.model_copy(update={"scale": FSDP}).model_dump_json())
    kill_after(job, 4)
    since = time.monotonic()
    while any(alive(process) for process in process_ids(job)):
        assert time.monotonic() - since < 10, "the processes outlive the one that started them"
        time.sleep(0.05)
    assert not job.output.exists() and not job.outcome.exists()
    assert (run_here(job).resumed_from or 0) >= 4
    assert_same_training(one, job)


def alive(process: int) -> bool:
    """Whether a process is there and not just a name that its parent has not yet asked about."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_failure_of_a_process_is_told_in_words(new_job: Jobs) -> None:
    with pytest.raises(WrongInput, match=r"training\.max_tokens: 16"):
        run_scaled(new_job(max_tokens=16), DDP)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(WrongInput, match=r"scale\.processes: 4.* has 2; write no more"):
        rank._take_gpu(0, 4)


def test_under_fsdp_each_process_holds_a_part_of_the_base_and_the_whole_adapter(
    tiny_base: Path, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("forkserver")
    crew = [context.Process(target=_weigh, args=(number, tiny_base, tmp_path)) for number in range(2)]
    for process in crew:
        process.start()
    for process in crew:
        process.join()
        assert process.exitcode == 0
    whole = load_with_adapter(tiny_base, "tiny-random", Training())
    held = [json.loads((tmp_path / f"{number}.json").read_text()) for number in range(2)]
    for name, weight in whole.named_parameters():
        parts = [weight.numel()] * 2 if weight.requires_grad else [each.numel() for each in weight.chunk(2)]
        assert [each[name] for each in held] == parts, name


def _weigh(number: int, base: Path, folder: Path) -> None:
    with meet(number, 2, CPU, f"file://{folder / 'meeting'}"):
        model = load_with_adapter(base, "tiny-random", Training(), FSDP)
        loss = answer_loss(model, make_pack([Row(ids=[5, 6, 7], answer=[False, True, True])], CPU))
        loss.backward()
        held = {}
        for name, weight in model.named_parameters():
            held[name] = (weight.to_local() if hasattr(weight, "to_local") else weight).numel()
        (folder / f"{number}.json").write_text(json.dumps(held))


def test_checkpointed_activations_take_less_memory_and_change_nothing(tiny_base: Path) -> None:
    rows = [Row(ids=[*range(3, 60)], answer=[False] * 20 + [True] * 37)]
    told = []
    for checkpointed in (False, True):
        how = DDP.model_copy(update={"checkpoint_activations": checkpointed})
        model = spread(load_with_adapter(tiny_base, "tiny-random", Training()), how, CPU).train()
        kept: list[int] = []

        def keep(tensor: torch.Tensor, kept: list[int] = kept) -> torch.Tensor:
            kept.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = answer_loss(model, make_pack(rows, CPU))
        before = sum(kept)
        loss.backward()
        told.append((before, {name: weight.grad for name, weight in trained_parameters(model).items()}))
    (much, plain), (little, again) = told
    assert little < 0.5 * much
    for name, gradient in plain.items():
        assert torch.equal(gradient, again[name]), name


def test_rows_are_shared_out_once_each_in_order_and_evenly() -> None:
    lengths = [7, 3, 9, 1, 4, 4, 8, 2]
    rows = [6, 2, 0, 2, 5, 1, 7]
    assert share_out(rows, lengths, 1) == [rows]
    shares = share_out(rows, lengths, 3)
    assert sorted(row for share in shares for row in share) == sorted(rows)
    assert shares == share_out(rows, lengths, 3)
    loads = [sum(lengths[row] for row in share) for share in shares]
    assert max(loads) - min(loads) <= max(lengths)
    for share in shares:
        left = iter(rows)
        assert all(row in left for row in share)  # a subsequence
    assert share_out([4], lengths, 3) == [[4], [], []]


def test_scale_is_a_part_of_the_recipe_and_one_process_is_none(recipe: Recipe) -> None:
    scaled = Recipe.model_validate({**recipe.model_dump(), "scale": {"processes": 2}})
    assert scaled.digest() != recipe.digest() and scaled.scale == DDP
    with pytest.raises(ValidationError, match=r"scale\.processes"):
        Recipe.model_validate({**recipe.model_dump(), "scale": {"processes": 1}})
