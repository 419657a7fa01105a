"""McNemar's exact test of paired yes/no scores, and what it can find."""

from functools import lru_cache
from math import comb, lgamma

import numpy as np


def mcnemar(wins: int, losses: int) -> float:
    """One-sided exact p value of more wins than losses, given that either happened (McNemar 1947)."""
    changed = wins + losses
    return sum(comb(changed, more) for more in range(wins, changed + 1)) / 2**changed


def mcnemar_power(gain: float, changed: float, rows: int, rate: float) -> float:
    """Chance that McNemar's exact test finds a true gain at a one-sided level.

    Args:
        gain: true share won less the share lost, at most `changed`.
        changed: true share of rows on which one alone is right.
        rows: pairs.
        rate: the level.
    """
    if changed <= 0:
        return 0.0
    won = (1 + gain / changed) / 2
    counts = range(rows + 1)
    logs = np.array([lgamma(count + 1) for count in counts])
    return float(
        sum(
            chance * _binomial(count, won, logs)[_least_wins(count, rate) :].sum()
            for count, chance in zip(counts, _binomial(rows, changed, logs), strict=True)
            if chance > 1e-9
        )
    )


@lru_cache(maxsize=4096)
def _least_wins(changed: int, rate: float) -> int:
    """The fewest wins that McNemar's test finds significant; one more than can be, where none is."""
    tail, wins = 0, changed + 1
    while wins and (tail + comb(changed, wins - 1)) / 2**changed <= rate:
        wins -= 1
        tail += comb(changed, wins)
    return wins


def _binomial(count: int, chance: float, logs: np.ndarray) -> np.ndarray:
    """Chances of 0 to `count` successes, float64 of shape (count + 1,)."""
    if chance >= 1:
        return np.eye(1, count + 1, count)[0]
    hits = np.arange(count + 1)
    ways = logs[count] - logs[hits] - logs[count - hits]
    return np.exp(ways + hits * np.log(chance) + (count - hits) * np.log1p(-chance))
