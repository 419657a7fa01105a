"""Every metric of a recipe, ready to score answers.

An answer that is missing or empty scores the worst. No score is there where a metric does not apply to a row, which
the row alone decides: it is the same for every arm.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ft_assets.evaluation.measure import measure_of
from ft_assets.evaluation.metrics.bill import Bill
from ft_assets.evaluation.metrics.comparison_turns import Comparison
from ft_assets.evaluation.metrics.function import FunctionScore
from ft_assets.evaluation.metrics.json_schema import json_matcher
from ft_assets.evaluation.metrics.judge import JudgeScore
from ft_assets.evaluation.metrics.label import is_label, same_label
from ft_assets.evaluation.metrics.overlap import chrf, exact, rouge_l, words
from ft_assets.evaluation.metrics.pattern import matches
from ft_assets.evaluation.metrics.tool_calls import reference_calls, same_calls
from ft_assets.evaluation.rows import EvalRow
from ft_assets.recipe_evaluation import Evaluation
from ft_assets.recipe_metrics import (
    Chrf,
    Exact,
    JsonSchema,
    Judge,
    Label,
    Metric,
    PatternMatch,
    PythonFunction,
    RougeL,
    ToolCalls,
)
from ft_assets.storage.voice import Say


@dataclass(frozen=True)
class Answered:
    """One arm's answer to one row."""

    row: EvalRow
    answer: str


Column = list[float | None]
"""One score for each answer; None where the metric does not apply to its row."""

Scorer = Callable[[Sequence[Answered]], Column]


class Scorers:
    """Scores answers by every metric of a recipe but the loss, which only the model knows.

    Args:
        folder: where verdicts of judges are kept.
        alive: called before every question to a judge; raises where nobody waits for the answer any more.

    Raises:
        WrongInput: a function cannot be imported, or a judge lacks its key or its labels.
        Refused: a judge agrees too little with people.
        BrokenEnvironment: a judge whose agreement is to be measured cannot be asked.
    """

    def __init__(self, evaluation: Evaluation, folder: Path, say: Say, alive: Callable[[], None]) -> None:
        metrics = evaluation.metrics
        self._functions = {
            each.called: FunctionScore(each, say) for each in metrics if isinstance(each, PythonFunction)
        }
        self._judges = {
            each.called: JudgeScore(each, folder, say, alive) for each in metrics if isinstance(each, Judge)
        }
        self._scorers = {metric.called: self._scorer(metric) for metric in metrics}

    def score(self, answered: Sequence[Answered]) -> dict[str, Column]:
        """A column for every metric."""
        return {name: scorer(answered) for name, scorer in self._scorers.items()}

    @property
    def bills(self) -> dict[str, Bill]:
        """What the judges were asked, by metric."""
        return {name: judge.bill for name, judge in self._judges.items()}

    @property
    def failures(self) -> dict[str, int]:
        """By metric, answers on which a function failed."""
        return {name: function.failures for name, function in self._functions.items()}

    def _scorer(self, metric: Metric) -> Scorer:
        worst = measure_of(metric).worst
        if isinstance(metric, Judge):
            return _judged(self._judges[metric.called], worst)
        if isinstance(metric, PythonFunction):
            function = self._functions[metric.called]
            return _by_row(lambda row, answer: function(row.prompt, answer, row.reference), _always, worst)
        return _by_row(_row_score(metric), _applies(metric), worst)


def _by_row(
    score: Callable[[EvalRow, str], float], applies: Callable[[EvalRow], bool], worst: float
) -> Scorer:
    def one(each: Answered) -> float | None:
        if not applies(each.row):
            return None
        return float(score(each.row, each.answer)) if each.answer.strip() else worst

    return lambda answered: [one(each) for each in answered]


def _judged(judge: JudgeScore, worst: float) -> Scorer:
    def column(answered: Sequence[Answered]) -> Column:
        given = [each for each in answered if each.answer.strip()]
        pairs = [
            Comparison(each.row.prompt, each.answer.strip(), each.row.reference.strip()) for each in given
        ]
        scores = iter(judge(pairs))
        return [next(scores) if each.answer.strip() else worst for each in answered]

    return column


def _row_score(metric: Metric) -> Callable[[EvalRow, str], float]:
    """The score of an answer that says something, to a row that the metric applies to."""
    match metric:
        case Chrf():
            return lambda row, answer: chrf(answer, row.reference)
        case Exact():
            return lambda row, answer: exact(answer, row.reference)
        case RougeL():
            return lambda row, answer: rouge_l(answer, row.reference)
        case PatternMatch():
            return lambda row, answer: matches(answer, metric.pattern)
        case JsonSchema():
            allowed = json_matcher(metric.schema_)
            return lambda row, answer: allowed(answer)
        case ToolCalls():
            return lambda row, answer: same_calls(answer, reference_calls(row.tool_calls))
        case Label():
            return lambda row, answer: same_label(answer, row.reference)
    raise TypeError(f"no score for {metric!r}")


def _applies(metric: Metric) -> Callable[[EvalRow], bool]:
    match metric:
        case RougeL():
            return lambda row: bool(words(row.reference))
        case ToolCalls():
            return lambda row: bool(reference_calls(row.tool_calls))
        case Label():
            return lambda row: is_label(row.reference, metric.labels)
    return _always


def _always(row: EvalRow) -> bool:
    return True
