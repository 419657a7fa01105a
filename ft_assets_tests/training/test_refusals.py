"""What a training cannot do it refuses before the first step, or does in a smaller way and says so."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.storage.artifacts import digest_folder
from ft_assets.training.job import TrainingJob, read_outcome
from ft_assets.training.worker import main, train
from ft_assets_tests.training.conftest import Jobs, run_here, start_worker


def said(job: TrainingJob) -> str:
    """The first line of a training's log."""
    lines: list[str] = []
    train(job, lines.append, os.getppid())
    return lines[0]


def on_changed_base(job: TrainingJob, file: str, text: str | None) -> TrainingJob:
    """The job on a copy of its base with one file changed, or without it."""
    folder = job.work / "base"
    shutil.copytree(job.base[1], folder)
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_text(text)
    changed = job.model_copy(update={"base": (digest_folder(folder), folder)})
    (job.work / "job.json").write_text(changed.model_dump_json())
    return changed


_TURN = "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
_TEMPLATES = {
    "no turn of the assistant's": (
        "{% for message in messages if message['role'] != 'assistant' %}" + _TURN + "{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "renders a prompt differently once it is answered",
    ),
    "no turn of the assistant's, nor its beginning": (
        "{% for message in messages if message['role'] != 'assistant' %}" + _TURN + "{% endfor %}",
        "does not end an answer with the tokenizer's end token",
    ),
    "refuses": (
        "{{ raise_exception('No assistant, please.') }}",
        "refuses a row of test (No assistant, please.)",
    ),
    "none at all": (
        None,
        "the base's chat template refuses a row of test (Cannot use chat template functions",
    ),
}


@pytest.mark.parametrize("name", _TEMPLATES)
def test_a_template_that_cannot_teach_is_refused_in_words(new_job: Jobs, name: str) -> None:
    template, words = _TEMPLATES[name]
    job = on_changed_base(new_job(), "chat_template.jinja", template)
    assert main(job.work / "job.json") == 1
    assert words in json.loads(job.outcome.read_text())["failure"]
    assert not job.output.exists() and list(job.checkpoints.glob("*/*")) == []


def test_rows_longer_than_the_bases_context_are_left_out_and_it_is_said(
    new_job: Jobs, tiny_base: Path
) -> None:
    config = json.loads((tiny_base / "config.json").read_text()) | {"max_position_embeddings": 60}
    job = on_changed_base(new_job(max_steps=2), "config.json", json.dumps(config))
    line = said(job)
    assert "`training.max_tokens: 1024` is over the base's context of 60, which counts" in line
    told = json.loads((job.output / "training.json").read_text())
    assert 0 < told["left_out_rows"] < 24
    assert f"{told['left_out_rows']} rows left out as longer than 60 tokens" in line
    assert "context" not in said(new_job("other", max_steps=2))


def test_fewer_tokens_than_a_batch_are_one_smaller_step_and_it_is_said(new_job: Jobs) -> None:
    job = new_job(train=3, batch_tokens=2048, epochs=1)
    line = said(job)
    told = json.loads((job.output / "training.json").read_text())
    assert told["steps"] == 1 and told["rows"] == 3 and told["tokens"] < 2048
    assert (
        f"all rows are {told['tokens']} tokens, fewer than a step's (`training.batch_tokens: 2048`)" in line
    )
    assert "fewer than" not in said(new_job("other", max_steps=2))


def test_nothing_to_train_on_says_which_setting_to_change(new_job: Jobs) -> None:
    with pytest.raises(WrongInput, match=r"training\.max_tokens: 16.*or the train split is empty"):
        run_here(new_job(train=0, max_tokens=16))


@pytest.mark.slow
def test_a_worker_killed_for_memory_is_told_with_its_log_and_what_running_again_does(new_job: Jobs) -> None:
    job = new_job(epochs=4000, validate_every=10_000)
    worker = start_worker(job)
    assert worker.stdout is not None and worker.stdout.readline()  # it trains
    worker.send_signal(signal.SIGKILL)  # what Linux does to a process when memory runs out
    worker.communicate()
    words = (
        rf"was killed \(out of memory\?\); its log is {job.log}; run it again and it goes on from its last"
    )
    with pytest.raises(BrokenEnvironment, match=words):
        read_outcome(job)
