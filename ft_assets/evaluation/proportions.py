"""Paired yes/no scores: how often the candidate alone is right (wins) less how often it alone is wrong (losses)."""

from collections.abc import Iterator
from functools import lru_cache
from math import inf, lgamma, sqrt
from statistics import NormalDist

import numpy as np

_EXACT_ROWS = 200  # beyond, the score test holds its level to within a third of a percentage point
_NUISANCE = 200


def score_interval(wins: float, losses: float, rows: float, confidence: float) -> tuple[float, float]:
    """Score interval for the difference of paired proportions (Tango, Statistics in Medicine 17, 1998).

    It keeps a width where no row changed, which a bootstrap does not: none of 64 rows still allows for 5.7 points.

    Args:
        wins: rows on which only the candidate is right, or the sum of what it gained, each within 0 and 1.
        losses: rows on which only the other is right, or the sum of what was lost.
        rows: pairs in all.
        confidence: chance that the interval covers the true difference.
    """
    bar = NormalDist().inv_cdf((1 + confidence) / 2)
    return _edge(wins, losses, rows, bar), -_edge(losses, wins, rows, bar)


def score_p(wins: float, losses: float, rows: float, bound: float) -> float:
    """One-sided p value of a difference above `bound`, by the score test that the interval inverts."""
    return NormalDist().cdf(-_score(wins, losses, rows, bound))


def exact_p(wins: int, losses: int, rows: int, bound: float) -> float:
    """One-sided p value of a difference above `bound`: the worst over every share of changed rows.

    An unconditional exact test that orders outcomes by their score (Hsueh, Liu and Chen, Biometrics 57, 2001), for
    the score test by itself rejects a true claim of 2.5 % up to 3.6 % of the time on 20 rows. Above 200 rows it is
    the score test.
    """
    if rows > _EXACT_ROWS or abs(bound) >= 1:
        return score_p(wins, losses, rows, bound)
    return float(_exact_table(rows, bound)[wins, losses])


def _edge(wins: float, losses: float, rows: float, bar: float) -> float:
    # The score falls as the claimed difference rises; the lower end is where it comes down to the bar.
    low, high = -1.0, (wins - losses) / rows
    for _ in range(40):
        middle = (low + high) / 2
        if _score(wins, losses, rows, middle) >= bar:
            low = middle
        else:
            high = middle
    return low


def _score(wins: float, losses: float, rows: float, bound: float) -> float:
    """Tango's z: the excess over `bound`, by its deviation were `bound` the true difference."""
    if abs(bound) >= 1:
        return inf if (wins - losses) / rows > bound else -inf
    linear = -wins - losses + (2 * rows - wins + losses) * bound
    constant = -losses * bound * (1 - bound)
    lost = (sqrt(max(linear * linear - 8 * rows * constant, 0.0)) - linear) / (4 * rows)
    variance = rows * (2 * lost + bound * (1 - bound))
    excess = wins - losses - rows * bound
    if variance <= 0:
        return inf if excess > 0 else -inf if excess < 0 else 0.0
    return excess / sqrt(variance)


@lru_cache(maxsize=32)
def _exact_table(rows: int, bound: float) -> np.ndarray:
    """p value of every outcome, float64 of shape (rows + 1, rows + 1); only wins + losses <= rows can happen."""
    wins, losses = (each.ravel() for each in np.indices((rows + 1, rows + 1)))
    wins, losses = wins[wins + losses <= rows], losses[wins + losses <= rows]
    scores = np.array(
        [_score(w, c, rows, bound) for w, c in zip(wins.tolist(), losses.tolist(), strict=True)]
    )
    order = np.argsort(-scores, kind="stable")
    wins, losses, scores = wins[order], losses[order], scores[order].round(9)
    tails = np.zeros(len(order))
    for chances in _chances(wins, losses, rows, bound):
        np.maximum(tails, np.cumsum(chances), out=tails)
    last = np.searchsorted(-scores, -scores, side="right") - 1  # outcomes of one score stand or fall together
    table = np.ones((rows + 1, rows + 1))
    table[wins, losses] = np.minimum(tails[last], 1.0)
    return table


def _chances(wins: np.ndarray, losses: np.ndarray, rows: int, bound: float) -> Iterator[np.ndarray]:
    """Of every outcome, for a grid of true shares lost whose difference is `bound`, densest at its ends."""
    logs = np.array([lgamma(count + 1) for count in range(rows + 1)])
    ways = np.exp(logs[rows] - logs[wins] - logs[losses] - logs[rows - wins - losses])
    least, most = max(0.0, -bound), (1 - bound) / 2
    for step in np.sin(np.linspace(0, np.pi / 2, _NUISANCE)) ** 2:
        lost = least + (most - least) * step
        won, same = max(0.0, lost + bound), max(0.0, 1 - bound - 2 * lost)
        yield ways * won**wins * lost**losses * same ** (rows - wins - losses)
