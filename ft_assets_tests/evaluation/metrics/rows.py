"""Eval rows and recipes made to measure."""

import json
from pathlib import Path
from typing import Any

from ft_assets.evaluation.metrics.scorers import Answered, Column, Scorers
from ft_assets.evaluation.rows import EvalRow
from ft_assets.recipe_evaluation import Evaluation


def row(reference: str, prompt: str = "What is it?", calls: list[Any] | None = None) -> EvalRow:
    last = {"role": "assistant", "content": reference}
    if calls is not None:
        last["tool_calls"] = json.dumps(calls)
    return EvalRow("r1", "s", "c", ({"role": "user", "content": prompt}, last))


def call(name: str, arguments: Any) -> dict[str, Any]:
    """A call as OpenAI writes it."""
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}


def evaluation(*metrics: dict[str, Any]) -> Evaluation:
    return Evaluation.model_validate({"metrics": metrics})


def score(
    metric: dict[str, Any], answered: list[tuple[EvalRow, str]], told: list[str] | None = None
) -> Column:
    """The column of a single metric."""
    scorers = Scorers(
        evaluation(metric), Path("/nonexistent"), (told if told is not None else []).append, lambda: None
    )
    (column,) = scorers.score([Answered(*each) for each in answered]).values()
    return column


def answer_score(metric: dict[str, Any], reference: EvalRow | str, answer: str) -> float | None:
    (only,) = score(metric, [(row(reference) if isinstance(reference, str) else reference, answer)])
    return only
