"""Intervals for means over rows that come in clusters."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean and what it may plausibly be. `low` and `high` are infinite where one cluster says nothing."""

    mean: float
    low: float
    high: float
    rows: int
    clusters: int


def bootstrap_mean(
    values: Sequence[float] | np.ndarray,
    clusters: Sequence[Hashable],
    confidence: float,
    resamples: int,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of a mean; give differences of pairs for a paired comparison.

    Whole clusters are drawn, as rows of one cluster are no independent evidence (arXiv 2411.00640). The
    percentiles are widened by what a t interval would be wider than a normal one, without which an interval
    from 20 clusters is too narrow (the expanded percentile interval of Hesterberg, arXiv 1411.5279).

    Args:
        values: one finite number a row.
        clusters: each row's cluster.
        confidence: chance, below 1, that the interval covers the true mean.
        resamples: bootstrap draws.
        seed: the same seed gives the same interval.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if not (numbers.size and np.isfinite(numbers).all()):
        raise ValueError("an interval wants at least one value, and finite ones only")
    numbered: dict[Hashable, int] = {}
    member = [numbered.setdefault(cluster, len(numbered)) for cluster in clusters]
    sizes = np.bincount(member)
    sums = np.bincount(member, weights=numbers)
    mean, count = float(numbers.mean()), len(sizes)
    if count < 2:
        return Interval(mean, -inf, inf, len(numbers), count)
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)
    means = (draws @ sums) / (draws @ sizes)
    tail = NormalDist().cdf(-sqrt(count / (count - 1)) * _t_quantile((1 + confidence) / 2, count - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(mean, float(low), float(high), len(numbers), count)


def _t_quantile(probability: float, freedom: int) -> float:
    """Student's t quantile by its expansion around the normal one (Abramowitz and Stegun, 26.7.5)."""
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))
