"""How far a judge agrees with people, who compared the same answers."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft_assets.errors import WrongInput
from ft_assets.evaluation.metrics.comparison_turns import Comparison, Verdict
from ft_assets.evaluation.metrics.json_text import read_json

_TEXTS = ("prompt", "answer_a", "answer_b")
_WRITE = '{"prompt": "…", "answer_a": "…", "answer_b": "…", "better": "a", "b" or "tie"}'


@dataclass(frozen=True)
class Labelled:
    """A comparison, and which answer people found better."""

    comparison: Comparison
    better: Verdict


@dataclass(frozen=True)
class Agreement:
    """Cohen's kappa: 1 is full agreement, 0 what chance alone would give. `error` is its standard error."""

    kappa: float
    error: float


def read_labels(path: Path) -> list[Labelled]:
    """Comparisons that people made, one JSON object a line.

    Raises:
        WrongInput: the file cannot be read or holds none, or a line is something else; the line is named.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInput(f"{path}, the judge's `labels`, cannot be read: {error}") from error
    labelled = [_labelled(path, at, line) for at, line in enumerate(lines, 1) if line.strip()]
    if not labelled:
        raise WrongInput(f"{path}, the judge's `labels`, has no line; write {_WRITE} on each")
    return labelled


def agreement(people: Sequence[Verdict], judge: Sequence[Verdict]) -> Agreement | None:
    """Cohen's kappa of two raters of the same things (Cohen 1960), with the standard error that he gives.

    None where chance alone would agree on everything, as with one verdict for all: nothing can be told then.
    """
    count = len(people)
    seen = sum(ours == theirs for ours, theirs in zip(people, judge, strict=True)) / count
    ours, theirs = Counter(people), Counter(judge)
    chance = sum(ours[verdict] * theirs[verdict] for verdict in ours) / count**2
    if chance == 1:
        return None
    error = math.sqrt(seen * (1 - seen) / count) / (1 - chance)
    return Agreement((seen - chance) / (1 - chance), error)


def _labelled(path: Path, at: int, line: str) -> Labelled:
    try:
        fields: Any = read_json(line)
    except ValueError as error:
        raise WrongInput(f"{path}, line {at}: not JSON ({error}); write {_WRITE}") from error
    better = fields.get("better") if isinstance(fields, dict) else None
    if better not in ("a", "b", "tie") or not all(isinstance(fields.get(name), str) for name in _TEXTS):
        raise WrongInput(f"{path}, line {at}: a field is missing or of another kind; write {_WRITE}")
    return Labelled(Comparison(*(fields[name] for name in _TEXTS)), better)
