"""How a metric is to be read: which way is better, in what unit, and what a failed answer scores."""

import math
from dataclasses import dataclass

from ft_assets.recipe_evaluation import LOSS, Evaluation, Gate
from ft_assets.recipe_metrics import Metric


@dataclass(frozen=True)
class Measure:
    """One metric of one evaluation.

    Attributes:
        name: what scores, rules and margins call it.
        title: for the head of a table.
        unit: of a difference, as people say it.
        up: whether more is better.
        worst: score of an answer that failed.
        margin: what a candidate may lose where the recipe says nothing, in the metric's own unit.
        yes_no: every score is 0 or 1.
        scale: from the metric's own unit to the one that is shown.
    """

    name: str
    title: str
    unit: str
    up: bool
    worst: float
    margin: float
    yes_no: bool = False
    scale: float = 1.0

    @property
    def sign(self) -> int:
        """+1 where more is better: a difference times this is a gain."""
        return 1 if self.up else -1

    def allowed_loss(self, gate: Gate) -> float:
        """What a candidate may lose by the recipe."""
        return gate.margins.get(self.name, self.margin)


RETENTION_MEASURE = Measure(
    "retention", "right answers, %", "percentage points", up=True, worst=0.0, margin=0.0, scale=100.0
)
"""How tasks of the harness are shown; each is held to the recipe's own margin."""

LOSS_MEASURE = Measure(LOSS, "loss, nats a token", "nats a token", up=False, worst=math.inf, margin=0.05)


def measures(evaluation: Evaluation) -> list[Measure]:
    """Every metric of a recipe, the loss first."""
    return [LOSS_MEASURE, *map(measure_of, evaluation.metrics)]


def measure_of(metric: Metric) -> Measure:
    """How one metric is to be read."""
    name = metric.called
    match metric.kind:
        case "chrf" | "rouge_l":
            title = {"chrf": "chrF", "rouge_l": "ROUGE-L"}[metric.kind]
            return Measure(name, f"{title}, 0-100", "points (of 100)", up=True, worst=0.0, margin=3.0)
        case "python":
            return Measure(name, name, "", up=metric.up, worst=metric.worst, margin=metric.margin)
        case "judge":
            return _share(name, "judged at least as good as the reference, %", yes_no=False)
        case _:
            return _share(name, f"{name}, %", yes_no=True)


def _share(name: str, title: str, yes_no: bool) -> Measure:
    return Measure(
        name,
        title,
        "percentage points",
        up=True,
        worst=0.0,
        margin=0.05,
        yes_no=yes_no,
        scale=100.0,
    )
