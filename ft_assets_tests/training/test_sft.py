"""A training: what it learns, when it stops, and that the same inputs give the same bytes."""

import json
import math
from pathlib import Path

import pytest

from ft_assets.errors import WrongInput
from ft_assets.recipe import Training
from ft_assets.storage.artifacts import digest_folder
from ft_assets.training.history import History
from ft_assets.training.schedule import learning_rate
from ft_assets_tests.training.conftest import Jobs, run_here


def facts(folder: Path) -> dict:
    return json.loads((folder / "training.json").read_text())


def test_validation_loss_falls_and_the_best_adapter_is_written(new_job: Jobs):
    job = new_job()
    outcome = run_here(job)
    told = facts(job.output)
    losses = dict(told["validation_loss"])
    assert told["stopped"] == "finished"
    assert losses[told["best_step"]] == min(losses.values()) < 0.8 * losses[0]
    assert [step for step, _ in told["train_loss"]] == [*range(1, told["steps"] + 1)]
    assert told["epochs"] == 4 and told["rows"] == 24 and told["left_out_rows"] == 0
    assert outcome.seconds > 0 and outcome.tokens_per_s > 0 and outcome.curves_png
    assert sorted(file.name for file in job.output.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "training.json",
    ]


def test_same_inputs_give_the_same_digest_whatever_the_folder(new_job: Jobs):
    jobs = [new_job("one", dropout=0.1), new_job("two", dropout=0.1)]
    digests = set()
    for job in jobs:
        run_here(job)
        digests.add(digest_folder(job.output))
    assert len(digests) == 1


def test_another_seed_gives_another_adapter(new_job: Jobs):
    jobs = [new_job("one", max_steps=2), new_job("two", max_steps=2, seed=1)]
    digests = set()
    for job in jobs:
        run_here(job)
        digests.add(digest_folder(job.output))
    assert len(digests) == 2


def test_artifact_names_no_place_of_this_machine(new_job: Jobs, tiny_base: Path):
    job = new_job(max_steps=2)
    run_here(job)
    text = (job.output / "adapter_config.json").read_text() + (job.output / "training.json").read_text()
    assert str(job.work) not in text and str(tiny_base) not in text
    assert (
        json.loads((job.output / "adapter_config.json").read_text())["base_model_name_or_path"]
        == "tiny-random"
    )


def test_peft_loads_the_artifact_and_scores_its_best_validation_loss(new_job: Jobs, tiny_base: Path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ft_assets.bases.packed_attention import ATTENTION
    from ft_assets.training.packing import answer_loss, make_pack
    from ft_assets.training.rows import read_rows

    job = new_job()
    run_here(job)
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32, attn_implementation=ATTENTION)
    model = PeftModel.from_pretrained(base, job.output)
    rows, _ = read_rows(AutoTokenizer.from_pretrained(tiny_base), job.validation[1], 1024)
    with torch.no_grad():
        loss = answer_loss(model, make_pack(rows, torch.device("cpu"))) / sum(sum(row.answer) for row in rows)
    told = facts(job.output)
    assert loss.item() == pytest.approx(dict(told["validation_loss"])[told["best_step"]], rel=1e-4)


def test_base_files_are_unchanged_by_training(new_job: Jobs, tiny_base: Path):
    job = new_job(max_steps=3)
    run_here(job)
    assert digest_folder(tiny_base) == job.base[0]


def test_training_stops_early_and_keeps_the_best(new_job: Jobs):
    # Learning answers by heart from a handful of rows at a high rate soon hurts on other rows.
    job = new_job(train=4, learning_rate=3e-2, epochs=60, validate_every=2, patience=2, batch_tokens=128)
    run_here(job)
    told = facts(job.output)
    assert told["stopped"].startswith("early: no better validation loss in 2 validations")
    steps = [step for step, _ in told["validation_loss"]]
    assert steps[-1] == told["steps"] == told["best_step"] + 4
    assert told["epochs"] < 60


def test_divergence_stops_with_the_reason_and_finite_weights(new_job: Jobs):
    from safetensors.torch import load_file

    job = new_job(learning_rate=1e30, warmup=0.0, weight_decay=0.5)
    run_here(job)
    told = facts(job.output)
    assert told["stopped"].startswith("diverged") and "learning_rate" in told["stopped"]
    weights = load_file(job.output / "adapter_model.safetensors")
    assert all(bool(weight.isfinite().all()) for weight in weights.values())


def test_without_validation_rows_the_last_weights_are_kept(new_job: Jobs):
    job = new_job(validation=0, max_steps=5)
    run_here(job)
    told = facts(job.output)
    assert told["validation_loss"] == [] and told["best_step"] == told["steps"] == 5


def test_long_rows_are_left_out_and_counted(new_job: Jobs):
    job = new_job(max_tokens=60, max_steps=2)
    run_here(job)
    told = facts(job.output)
    assert 0 < told["left_out_rows"] < 24 and told["rows"] + told["left_out_rows"] == 24


def test_nothing_to_train_on_says_which_setting_to_change(new_job: Jobs):
    with pytest.raises(WrongInput, match=r"training\.max_tokens: 16"):
        run_here(new_job(max_tokens=16))


def test_progress_file_tells_step_pace_and_time_left(new_job: Jobs):
    job = new_job(max_steps=4)
    run_here(job)
    progress = json.loads(job.progress.read_text())
    assert set(progress) == {
        "step",
        "steps",
        "loss",
        "validation_loss",
        "learning_rate",
        "gradient_norm",
        "tokens_per_s",
        "utilisation",
        "seconds_left",
        "cost",
        "currency",
    }
    assert 0 < progress["utilisation"] < 1 and progress["gradient_norm"] > 0
    assert progress["step"] == progress["steps"] == 4 and progress["seconds_left"] == 0


def test_learning_rate_warms_up_then_falls_to_nearly_nothing():
    settings = Training(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(step, 100, settings) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[10:] == sorted(rates[10:], reverse=True) and rates[-1] < 1e-3
    assert all(0 < learning_rate(step, 1, Training(learning_rate=1.0, warmup=0.0)) <= 1 for step in range(1))


def test_patience_counts_validations_without_a_better_loss():
    history = History()
    told = [
        history.add_validation(loss, patience=2) for loss in (3.0, 2.0, 2.5, math.nextafter(2.0, 0), 2.1, 2.2)
    ]
    assert told == [True, True, False, True, False, False]
    assert history.stopped is not None
