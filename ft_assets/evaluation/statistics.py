"""Intervals for means over rows that come in clusters."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, sqrt
from statistics import NormalDist

import numpy as np

_KEPT = 512  # clusters for which draws are kept: 8 MB at 2,000 resamples


@dataclass(frozen=True)
class Interval:
    """A mean and what it may plausibly be. `low` and `high` are infinite where one cluster says nothing."""

    mean: float
    low: float
    high: float
    rows: int
    clusters: int

    @property
    def mirrored(self) -> "Interval":
        """That of the negated mean."""
        return Interval(-self.mean, -self.high, -self.low, self.rows, self.clusters)


def cluster_sums(
    values: np.ndarray, clusters: Sequence[Hashable] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the rows of each cluster, float64 of shape (clusters,), in the order of their names."""
    member = np.unique(np.asarray(clusters), return_inverse=True)[1]
    return np.bincount(member, weights=values), np.bincount(member).astype(np.float64)


def bootstrap_mean(
    values: Sequence[float] | np.ndarray,
    clusters: Sequence[Hashable] | np.ndarray,
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

    Raises:
        ValueError: there is no value, or one is not finite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if not (numbers.size and np.isfinite(numbers).all()):
        raise ValueError("an interval wants at least one value, and finite ones only")
    sums, sizes = cluster_sums(numbers, clusters)
    mean, count = float(numbers.mean()), len(sizes)
    if count < 2:
        return Interval(mean, -inf, inf, len(numbers), count)
    draws = (_draws if count <= _KEPT else _draws.__wrapped__)(count, resamples, seed)
    means = (draws @ sums) / (draws @ sizes)
    tail = NormalDist().cdf(-sqrt(count / (count - 1)) * t_quantile((1 + confidence) / 2, count - 1))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(mean, float(low), float(high), len(numbers), count)


@lru_cache(maxsize=8)
def _draws(count: int, resamples: int, seed: int) -> np.ndarray:
    """How often each cluster is drawn, float64 of shape (resamples, count). The same for every metric of a report."""
    random = np.random.default_rng(seed)
    return random.multinomial(count, np.full(count, 1 / count), size=resamples).astype(np.float64)


def t_quantile(probability: float, freedom: int) -> float:
    """Student's t quantile by its expansion around the normal one (Abramowitz and Stegun, 26.7.5)."""
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))
