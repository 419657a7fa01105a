"""Invented traffic of two arms whose truth is known: 40 looks, and 25 answers of each arm between two of them."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from ft_assets.rollout.evidence import Answers, Evidence
from ft_assets.rollout.fixed_rules import Bounds

LOOKS, PER_LOOK = 40, 25
_EDITED, _ESCALATED, _REFUSED, _FAILED = 0.2, 0.02, 0.01, 0.01
_CANCELLED = 0.15
"""Of both arms' answers: more than `max_error_rate` allows of failures."""


@dataclass(frozen=True)
class Arm:
    """How one arm answers.

    Attributes:
        approvals: share of thumbs that are up; everybody gives one.
        latency_ms: median of log-normal latencies.
        tokens: median of log-normal tokens an answer.
        cancelled: share of answers that users cut off.
    """

    approvals: float = 0.9
    latency_ms: float = 400.0
    tokens: float = 100.0
    cancelled: float = _CANCELLED


CHAMPION = Arm()
WORSE = {
    "approvals": Arm(approvals=0.8),
    "latency": Arm(latency_ms=2 * CHAMPION.latency_ms),
    "cost": Arm(tokens=2 * CHAMPION.tokens),
}
"""Challengers that are worse in one thing: 10 points of approvals, twice the p95 latency, twice the tokens."""

_SPREAD, _TAIL = 0.5, 0.8  # standard deviations of the logs of latency and of tokens


def between() -> Bounds:
    """Thresholds half way between the champion's true figure and the worse one: as good as a fixed one can be."""
    p95 = CHAMPION.latency_ms * np.exp(_SPREAD * NormalDist().inv_cdf(0.95))
    tokens = CHAMPION.tokens * np.exp(_TAIL**2 / 2)
    approvals = (1 - _FAILED) * (CHAMPION.approvals + WORSE["approvals"].approvals) / 2
    return Bounds(approvals, float(p95 * np.sqrt(2)), float(tokens * np.sqrt(2)))


def stream(challenger: Arm, random: np.random.Generator) -> Evidence:
    """The answers of one rollout. Within a look the arms come in random order; the look is the time, in seconds."""
    looks = np.tile(np.repeat([True, False], PER_LOOK), (LOOKS, 1))
    arms = random.permuted(looks, axis=1).ravel()
    count = len(arms)
    cancelled = random.random(count) < _each(arms, challenger, "cancelled")
    failed = ~cancelled & (random.random(count) < _FAILED)
    judged = ~(failed | cancelled)
    at = np.repeat(np.arange(1.0, LOOKS + 1), 2 * PER_LOOK)
    liked = (random.random(count) < _each(arms, challenger, "approvals")).astype(float)
    thumb = np.where(judged, liked, np.nan)
    edited = judged & (random.random(count) < _EDITED)
    answers = Answers(
        challenger=arms,
        user=np.arange(count).astype(object),
        served_at=at,
        latency_ms=_each(arms, challenger, "latency_ms") * random.lognormal(0, _SPREAD, count),
        tokens=np.ceil(_each(arms, challenger, "tokens") * random.lognormal(0, _TAIL, count)),
        failed=failed,
        refused=judged & (random.random(count) < _REFUSED),
        judged_at=np.where(cancelled, np.nan, at),
        reward=np.where(failed, 0.0, thumb),
        thumb=thumb,
        edit=np.where(edited, random.beta(1, 4, count), np.nan),
        escalated=~failed & (random.random(count) < _ESCALATED),
        cancelled=cancelled,
    )
    return Evidence(answers)


def _each(arms: np.ndarray, challenger: Arm, name: str) -> np.ndarray:
    return np.where(arms, getattr(challenger, name), getattr(CHAMPION, name))
