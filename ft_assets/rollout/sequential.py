"""Is the challenger worse, or good enough? Answers that stay valid however often one looks.

Differences (challenger - control) of matched answers arrive one after another, each in [-1, 1]. Against the
claim "the expected difference is at most m" one bets on each before seeing it. The wealth is an e-process: if
the claim holds, it ever reaches 1/alpha with probability alpha at most (Ville), in finite samples and at every
look. The difference's lower bound is the least m that the wealth does not refute: a confidence sequence
(Howard, Ramdas, McAuliffe and Sekhon, arXiv 1810.08240; for rollouts, Lindon, Sanden and Shirikian, arXiv
2205.14762, and Ham et al., arXiv 2210.08589, whose intervals are for large samples; this one needs none).

Bets are those of Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", arXiv
2010.09686: a fixed mixture of three stakes, of which two follow the scatter seen so far (a Kelly bet on an effect
of a given size) and one is nearly all that cannot go bankrupt, for arms that have nothing in common.

What it assumes: matches are independent of each other. Few users who send many requests each break that, and
make the interval too narrow.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_MULTIPLES = (0.4, 1.0)
"""Stakes, as multiples of the best one for the effect that is looked for."""
_MOST = 0.9
"""Share of the largest stake that cannot go bankrupt; also the third stake of the mixture."""
_WEIGHTS = np.log([0.1, 0.85, 0.05])
_PRIOR_SCATTER, _PRIOR_COUNT = 0.25, 4
"""Mean square of the differences before any was seen (a quarter of the pairs disagree), and what it counts for."""
_HALVINGS = 30


@dataclass(frozen=True)
class Interval:
    """Bounds of a difference of means; each is wrong, at any look, with probability alpha at most."""

    low: float
    high: float


def difference(differences: np.ndarray, alpha: float, effect: float) -> Interval:
    """Bounds of the expected difference (challenger - control).

    Args:
        differences: of matched answers in the order in which they were known, in [-1, 1]; shape (matches,).
        alpha: chance that one bound is ever wrong.
        effect: size of the difference that should be found soonest; the bounds hold whatever it is.
    """
    bar = -math.log(alpha)
    low = last_refuted(lambda claim: _wealth_now(differences, claim, effect) >= bar, -1.0, 1.0)
    high = -last_refuted(lambda claim: _wealth_now(-differences, claim, effect) >= bar, -1.0, 1.0)
    return Interval(low, high)


def log_wealth(differences: np.ndarray, claim: float, effect: float) -> np.ndarray:
    """Log wealth after each bet against "the expected difference is at most `claim`"; shape (matches,).

    It falls as the claim rises, and a match's wealth depends on no later match.
    """
    count = np.arange(len(differences))
    squares = np.concatenate([[0.0], np.cumsum(differences**2)[:-1]]) if len(count) else count
    scatter = (_PRIOR_SCATTER * _PRIOR_COUNT + squares) / (_PRIOR_COUNT + count)
    most = _MOST / (1 + claim)  # a difference is at least -1
    best = effect / scatter
    stakes = np.stack([*(np.minimum(multiple * best, most) for multiple in _MULTIPLES), 0 * best + most])
    grown = np.cumsum(np.log1p(stakes * (differences - claim)), axis=1)
    return np.logaddexp.reduce(grown + _WEIGHTS[:, None], axis=0)


def first_refuted(differences: np.ndarray, claim: float, effect: float, alpha: float) -> int | None:
    """The first match after which "the expected difference is at most `claim`" is refuted at level alpha."""
    above = log_wealth(differences, claim, effect) >= -math.log(alpha)
    return int(np.argmax(above)) if above.any() else None


def last_refuted(refuted: Callable[[float], bool], low: float, high: float) -> float:
    """The highest claim between two that is refuted, where all below it are too; `low` if none is."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if refuted(middle):
            low = middle
        else:
            high = middle
    return low


def _wealth_now(differences: np.ndarray, claim: float, effect: float) -> float:
    return float(log_wealth(differences, claim, effect)[-1]) if len(differences) else 0.0
