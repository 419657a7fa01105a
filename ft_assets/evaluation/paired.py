"""What paired rows say about a gain: an interval, and how surprising it would be if the gain were only so much."""

from dataclasses import dataclass, replace

import numpy as np

from ft_assets.evaluation.mcnemar import mcnemar
from ft_assets.evaluation.proportions import exact_p, score_interval, score_p
from ft_assets.evaluation.sign_flip import sign_flip
from ft_assets.evaluation.statistics import Interval, bootstrap_mean, cluster_sums
from ft_assets.recipe_evaluation import Gate


@dataclass(frozen=True)
class Evidence:
    """A gain against a bound.

    Attributes:
        interval: of the gain.
        above: one-sided p value of "the gain is above the bound".
        below: one-sided p value of "the gain is below the bound".
    """

    interval: Interval
    above: float
    below: float


def weigh(
    gains: np.ndarray, clusters: np.ndarray, bound: float, gate: Gate, share: bool, yes_no: bool
) -> Evidence:
    """Weigh paired gains against a bound.

    Args:
        gains: the candidate's score less the other's, turned so that up is better; finite, of shape (rows,).
        clusters: number of each row's near-duplicate cluster; rows of one are no independent evidence.
        bound: what the true gain is asked to exceed, in the metric's unit.
        gate: confidence and resamples.
        share: scores lie within 0 and 1, so that a gain does within -1 and 1.
        yes_no: scores are 0 or 1.
    """
    if yes_no and np.unique(clusters).size == len(gains):
        return _of_counts(int((gains > 0).sum()), int((gains < 0).sum()), len(gains), bound, gate)
    sums, sizes = cluster_sums(gains, clusters)
    interval = bootstrap_mean(gains, clusters, gate.confidence, gate.resamples)
    evidence = Evidence(interval, *sign_flip(sums - bound * sizes, gate.resamples))
    if share:
        return _no_surer(evidence, gains, 1.0, bound, gate)
    unit = float(np.abs(gains).max())
    if unit and 2 * np.count_nonzero(sums) < len(sums):
        return _no_surer(evidence, gains, unit, bound, gate)
    return evidence


def _of_counts(wins: int, losses: int, rows: int, bound: float, gate: Gate) -> Evidence:
    low, high = score_interval(wins, losses, rows, gate.confidence)
    interval = Interval((wins - losses) / rows, low, high, rows, rows)
    if bound == 0:
        return Evidence(interval, mcnemar(wins, losses), mcnemar(losses, wins))
    return Evidence(interval, exact_p(wins, losses, rows, bound), exact_p(losses, wins, rows, -bound))


def _no_surer(evidence: Evidence, gains: np.ndarray, unit: float, bound: float, gate: Gate) -> Evidence:
    """Evidence that claims no more than yes/no scores with the same gains and losses would, a row for each cluster.

    Where most clusters are ties, resampling sees only those few that differ, and none if none does. A gain of at
    most one unit varies no more than a yes/no gain of the same mean, so the score interval covers it too.
    """
    count = evidence.interval.clusters
    wins = count * float(np.clip(gains, 0, None).mean()) / unit
    losses = count * float(np.clip(-gains, 0, None).mean()) / unit
    low, high = score_interval(wins, losses, count, gate.confidence)
    interval = replace(
        evidence.interval,
        low=min(evidence.interval.low, unit * low),
        high=max(evidence.interval.high, unit * high),
    )
    return Evidence(
        interval,
        max(evidence.above, score_p(wins, losses, count, bound / unit)),
        max(evidence.below, score_p(losses, wins, count, -bound / unit)),
    )
