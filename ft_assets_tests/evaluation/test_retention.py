"""The harness's tasks, on a tiny base and a task of four lines; nothing is fetched."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ft_assets.errors import WrongInput
from ft_assets.evaluation.job import EvaluationJob
from ft_assets.evaluation.retention import RETENTION_SCHEMA, Harness
from ft_assets.evaluation.worker import main
from ft_assets.recipe import Recipe
from ft_assets.recipe_evaluation import Retention
from ft_assets.storage.home import Home
from ft_assets_tests.evaluation.tasks import write_tasks
from ft_assets_tests.evaluation.test_worker import make_job


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tasks(tmp_path / "tasks")


def job_of(home: Home, recipe: Recipe, adapter: Path, **retention: object) -> EvaluationJob:
    return make_job(home, recipe, adapter, rows=2, retention=Retention.model_validate(retention))


@pytest.mark.slow
def test_base_and_candidate_are_marked_on_the_same_rows(
    home: Home, recipe: Recipe, folder: Path, trained_adapter: Path, tiny_base: Path
) -> None:
    job = job_of(home, recipe, trained_adapter, tasks=["one", "two"], folder=str(folder), limit=6)
    assert main(job.work / "job.json") == 0
    table = pq.read_table(job.retention)
    assert table.schema.equals(RETENTION_SCHEMA)
    marks = table.to_pylist()
    assert [(mark["arm"], mark["task"]) for mark in marks] == [
        (arm, task) for arm in ("base", "candidate") for task in ("one", "two") for _ in range(6)
    ]
    ids = [mark["id"] for mark in marks]
    assert ids[:6] == ids[6:12] == ids[12:18] and len(set(ids)) == 6
    scores = [mark["score"] for mark in marks]
    assert scores[:6] == scores[6:12] == right_choices(tiny_base, None)
    assert scores[12:18] == scores[18:] == right_choices(tiny_base, trained_adapter)


def right_choices(base: Path, adapter: Path | None) -> list[float]:
    """By hand: whether the right one of two continuations is the likelier."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base)
    adapted = model if adapter is None else PeftModel.from_pretrained(model, str(adapter))

    @torch.inference_mode()
    def likelihood(question: str, choice: str) -> float:
        read, said = (
            tokenizer(text, add_special_tokens=False)["input_ids"] for text in (question, f" {choice}")
        )
        logits = adapted(torch.tensor([read + said])).logits[0].log_softmax(-1)
        return sum(float(logits[len(read) + at - 1, token]) for at, token in enumerate(said))

    return [
        float((likelihood(f"Say {at}", "no") > likelihood(f"Say {at}", "yes")) == bool(at % 2))
        for at in range(6)
    ]


def test_a_task_that_nobody_knows_is_told_before_anything_is_measured(
    home: Home, recipe: Recipe, folder: Path, trained_adapter: Path
) -> None:
    job = job_of(home, recipe, trained_adapter, tasks=["one", "tow"], folder=str(folder))
    assert main(job.work / "job.json") == 1
    assert "has no task tow" in job.outcome.read_text()
    assert not job.cache.exists()


def test_a_task_that_marks_no_single_row_is_refused(
    home: Home, recipe: Recipe, folder: Path, trained_adapter: Path
) -> None:
    job = job_of(home, recipe, trained_adapter, tasks=["unmarked"], folder=str(folder), limit=2)
    assert job.settings.retention is not None
    harness = Harness(job, job.settings.retention, print, lambda: None)
    with pytest.raises(WrongInput, match="unmarked marks no single row"):
        harness.measure("cpu")
    assert not job.retention.exists()
