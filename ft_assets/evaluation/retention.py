"""What the tuning may have unlearned: tasks of lm-evaluation-harness, answered by base and candidate alike.

The harness (Gao et al., https://github.com/EleutherAI/lm-evaluation-harness) reads the rows, asks the model and marks
the answers; the gate compares the marks row by row.
"""

import gc
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import pyarrow as pa

from ft_assets.errors import WrongInput
from ft_assets.evaluation.job import ArmJob, EvaluationJob
from ft_assets.evaluation.whole_rows import write_rows_whole
from ft_assets.recipe_evaluation import Retention
from ft_assets.storage.voice import Say

RETENTION_SCHEMA = pa.schema(
    [
        pa.field("arm", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
    ]
)
"""One row for every arm, task and row of the task; `score` is 1 for a right answer, 0 for a wrong one."""

_MARKS = ("acc", "exact_match")


class Harness:
    """The harness, with the recipe's tasks found.

    Args:
        device: `cpu` or `cuda`.
        alive: called before every model; raises where nobody waits for the result any more.

    Raises:
        WrongInput: the harness is not installed, or does not know a task.
    """

    def __init__(self, job: EvaluationJob, retention: Retention, say: Say, alive: Callable[[], None]) -> None:
        if find_spec("lm_eval") is None:
            raise WrongInput("evaluation.retention needs lm-evaluation-harness; install ft-assets[harness]")
        from lm_eval.tasks import TaskManager

        self._job, self._retention, self._say, self._alive = job, retention, say, alive
        folder = retention.folder
        self._tasks = TaskManager(include_path=folder, include_defaults=folder is None)
        if unknown := sorted({*retention.tasks} - {*self._tasks.all_tasks}):
            place = "lm-evaluation-harness" if folder is None else folder
            raise WrongInput(
                f"evaluation.retention: {place} has no task {', '.join(unknown)}; `lm-eval ls tasks` lists those that "
                "come with the harness, and a file of your own names its task under `task:`"
            )

    def measure(self, device: str) -> None:
        """Ask base and candidate, and write `retention.parquet`, whole."""
        rows = []
        for arm in self._job.arms:
            if arm.name != "incumbent":
                self._alive()
                rows += self._marks(arm, device)
                self._tell(arm, rows)
        write_rows_whole(self._job.retention, rows, RETENTION_SCHEMA)

    def _marks(self, arm: ArmJob, device: str) -> list[dict[str, Any]]:
        from lm_eval.evaluator import simple_evaluate
        from lm_eval.models.huggingface import HFLM

        harness_model: Any = HFLM  # whose arguments a type checker is not told
        model = harness_model(
            pretrained=str(self._job.base[1]),
            peft=str(arm.adapter[1]) if arm.adapter else None,
            dtype="float32" if device == "cpu" else "bfloat16",  # as the engine does
            device=device,
            batch_size=self._job.settings.batch_size,
        )
        wanted = self._retention
        found: Any = simple_evaluate(
            model, tasks=[*wanted.tasks], task_manager=self._tasks, limit=wanted.limit, bootstrap_iters=0
        )
        del model
        gc.collect()  # the next arm's model needs the room
        return [
            {"arm": arm.name, "task": task, **mark}
            for task, samples in found["samples"].items()
            for mark in _read_marks(task, samples)
        ]

    def _tell(self, arm: ArmJob, rows: list[dict[str, Any]]) -> None:
        scores = [row["score"] for row in rows if row["arm"] == arm.name]
        self._say(f"{arm.name}: {sum(scores):g} of {len(scores)} rows right in tasks that it should still do")


def _read_marks(task: str, samples: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Id and score of each row. A task that reads answers in several ways is marked by its first."""
    for sample in samples:
        if sample["filter"] != samples[0]["filter"]:
            continue
        mark = next((name for name in _MARKS if name in sample), None)
        if mark is None:
            raise WrongInput(
                f"evaluation.retention: the task {task} marks no single row right or wrong (by {' or '.join(_MARKS)}); "
                "choose one that does"
            )
        # The hash, so that rows of two versions of a task's data are never taken for the same.
        yield {"id": f"{sample['doc_id']}-{sample['doc_hash'][:12]}", "score": float(sample[mark])}
