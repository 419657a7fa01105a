"""Is the challenger worse, or good enough? Answers that stay valid however often one looks.

Rewards in [0, 1] arrive in the order in which they were judged. They are cut into blocks, each the shortest
that holds both arms; a block's difference of means (challenger - control) lies in [-1, 1] and has the true
difference as its expectation. Blocks compare answers of about the same time, so traffic that changes while
the weight ramps up does not pass for a difference between the arms (Simpson's paradox).

Against the claim "the difference is at most m" one bets on each block before seeing it. The wealth is an
e-process: if the claim holds, it ever reaches 1/alpha with probability alpha at most (Ville), in finite
samples and at every look. The difference's lower bound is the least m that the wealth does not refute.
Bets are the average over a fixed grid of stakes, "grid Kelly" in Waudby-Smith and Ramdas, "Estimating
means of bounded random variables by betting", arXiv 2010.09686, appendix B.5.

What it assumes: answers judged one after another are independent given the arm. Few users who send many
requests each break that, and make the interval too narrow.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

_STAKES = np.array([1 / 16, 1 / 8, 1 / 4, 1 / 2, 0.9])
"""Shares of the largest bet that cannot go bankrupt."""

_HALVINGS = 30


@dataclass(frozen=True)
class Interval:
    """Bounds of a difference of mean rewards; each is wrong, at any look, with probability alpha at most."""

    low: float
    high: float


def difference(rewards: Iterable[tuple[bool, float]], alpha: float) -> Interval:
    """Bounds of (challenger's mean reward - control's).

    Args:
        rewards: (whether the challenger answered, reward in [0, 1]), in the order judged.
        alpha: chance that one bound is ever wrong.
    """
    blocks = block_differences(rewards)
    return Interval(_lower_bound(blocks, alpha), -_lower_bound(-blocks, alpha))


def block_differences(rewards: Iterable[tuple[bool, float]]) -> np.ndarray:
    """Challenger's mean minus control's for each finished block, float64 of shape (blocks,)."""
    arms: dict[bool, list[float]] = {True: [], False: []}
    found = []
    for challenger, reward in rewards:
        arms[challenger].append(reward)
        if arms[True] and arms[False]:
            found.append(sum(arms[True]) / len(arms[True]) - sum(arms[False]) / len(arms[False]))
            arms = {True: [], False: []}
    return np.array(found, dtype=np.float64)


def _lower_bound(blocks: np.ndarray, alpha: float) -> float:
    # The wealth falls as the claimed difference rises, so the refuted claims lie below one point.
    low, high = -1.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _log_wealth(blocks, middle) >= -math.log(alpha):
            low = middle
        else:
            high = middle
    return low


def _log_wealth(blocks: np.ndarray, claim: float) -> float:
    """Log of the wealth won by betting against "the expected difference is at most `claim`" (above -1)."""
    # A block is at least -1, so a stake of 1 on this odds ratio would at worst lose everything.
    odds = (blocks - claim) / (1 + claim)
    logs = np.log1p(np.outer(_STAKES, odds)).sum(axis=1)
    return float(np.logaddexp.reduce(logs) - math.log(len(_STAKES)))
