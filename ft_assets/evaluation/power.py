"""What a gate can find, said before it judges: the least true gain that it would find in four of five tries."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import inf, isfinite, sqrt
from statistics import NormalDist

import numpy as np

from ft_assets.evaluation.claim import error_rate
from ft_assets.evaluation.comparison import Results, pair
from ft_assets.evaluation.mcnemar import mcnemar_power
from ft_assets.evaluation.measure import Measure
from ft_assets.evaluation.statistics import cluster_sums, t_quantile
from ft_assets.recipe_evaluation import Gate

POWER = 0.8
_HALVINGS = 16


@dataclass(frozen=True)
class Scatter:
    """How paired differences of one metric scatter.

    Attributes:
        metric: whose.
        deviation: of a mean difference, times the root of the number of clusters; in the metric's unit.
        changed: share of rows that changed, for yes/no scores whose rows are all independent; else None.
    """

    metric: str
    deviation: float
    changed: float | None = None


@dataclass(frozen=True)
class Power:
    """The least gain that so many clusters show.

    Attributes:
        gain: found with 80 % power; infinite where it can't be known.
        scatter: from which it was reckoned.
        here: the scatter of these very rows, for the next report.
    """

    rows: int
    clusters: int
    scatter: Scatter
    here: Scatter
    gain: float

    def sentence(self, measure: Measure) -> str:
        """For the report, before its rules."""
        head = f"{self.rows} eval rows in {self.clusters} clusters"
        if not isfinite(self.gain):
            return f"{head} are too few to say what the gate would find."
        whose = "as in this model's report before" if self.scatter is not self.here else "as measured here"
        least, deviation = (f"{measure.scale * value:.3g}" for value in (self.gain, self.scatter.deviation))
        return (
            f"{head} find a true gain in {measure.name} over the base in {POWER:.0%} of cases if it is {least} "
            f"{measure.unit} or more (differences scatter by {deviation} from cluster to cluster, {whose}). "
            f"That is the rule on {measure.name} alone; every further rule can only hold a candidate back."
        )


def power_of(results: Results, measure: Measure, gate: Gate, before: Scatter | None) -> Power | None:
    """The power of the primary metric's rule against the base; None where the metric is not a number everywhere.

    Args:
        results: the rows, of which only the number counts if there is a scatter from before.
        measure: the primary metric.
        gate: confidence and bar.
        before: the scatter of this model's last report, if it was of the same metric.
    """
    rows = np.flatnonzero(results.applies(measure.name))
    ours, theirs = (results.values(arm, measure.name)[rows] for arm in pair("base"))
    if not rows.size or not np.isfinite([ours, theirs]).all():
        return None
    clusters = results.clusters[rows]
    count = np.unique(clusters).size
    here = scatter_of(measure, ours - theirs, clusters)
    used = before if before is not None and (before.changed is None) == (here.changed is None) else here
    gain = detectable_gain(used, len(rows), count, gate)
    return Power(len(rows), count, used, here, gain)


def scatter_of(measure: Measure, differences: np.ndarray, clusters: np.ndarray) -> Scatter:
    """Scatter of a mean over clusters of unequal size (the linearised ratio estimator; arXiv 2411.00640)."""
    sums, sizes = cluster_sums(differences, clusters)
    count = len(sums)
    if count < 2:
        return Scatter(measure.name, inf)
    rest = sums - differences.mean() * sizes
    deviation = sqrt(count * (rest**2).sum() * count / (count - 1)) / len(differences)
    single = measure.yes_no and count == len(differences)
    return Scatter(measure.name, deviation, float((differences != 0).mean()) if single else None)


def detectable_gain(scatter: Scatter, rows: int, clusters: int, gate: Gate) -> float:
    """Least true gain that the rule of superiority shows with 80 % power, in the metric's unit."""
    if clusters < 3 or not isfinite(scatter.deviation):
        return inf
    if scatter.changed is not None and gate.min_gain == 0:
        return _by_mcnemar(scatter.changed, rows, error_rate(gate))
    most = gate.min_gain + 20 * scatter.deviation / sqrt(clusters)
    return _least(lambda effect: power_at(effect, scatter, rows, clusters, gate), gate.min_gain, most)


@lru_cache(maxsize=512)
def _by_mcnemar(changed: float, rows: int, rate: float) -> float:
    # The gain can't be more than the share of rows that change.
    return _least(lambda effect: mcnemar_power(effect, changed, rows, rate), 0.0, changed)


def _least(power: Callable[[float], float], low: float, high: float) -> float:
    """Where a power that rises with the effect comes up to 80 %; infinite where it never does."""
    if power(high) < POWER:
        return inf
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle) < POWER else (low, middle)
    return high


def power_at(effect: float, scatter: Scatter, rows: int, clusters: int, gate: Gate) -> float:
    """Chance that a true gain of `effect` is shown to exceed the bar.

    Exact McNemar's for independent yes/no rows without a bar; else that of a t test, by the approximation of
    Johnson and Kotz to the noncentral t distribution, which a sign-flip test is close to.
    """
    rate = error_rate(gate)
    if scatter.changed is not None and gate.min_gain == 0:
        return mcnemar_power(effect, scatter.changed, rows, rate)
    bar, freedom = t_quantile(1 - rate, clusters - 1), clusters - 1
    shift = (effect - gate.min_gain) * sqrt(clusters) / max(scatter.deviation, 1e-12)
    return NormalDist().cdf((shift - bar * (1 - 1 / (4 * freedom))) / sqrt(1 + bar * bar / (2 * freedom)))
