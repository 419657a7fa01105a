"""How a signal came to where it is: its mean and bounds after more and more matches, as `weighing.py` has them.

Each point is what a look at that moment saw, except that later feedback changes the worth of earlier answers.
"""

import hashlib
from typing import Any

import numpy as np

from ft_assets.recipe_rollout import Rollout as Plan
from ft_assets.rollout.evidence import Evidence
from ft_assets.rollout.signals import Signal, matches
from ft_assets.rollout.weighing import weigh_matches

_POINTS = 40
_KEPT = 4096
_known: dict[tuple[str, float, bytes], dict[str, float | None]] = {}
"""The latest points by what they are made of: a page looks again and again, and only the last point is new. Not
`lru_cache`, which would keep the matches too."""


def course(signal: Signal, evidence: Evidence, plan: Plan) -> list[dict[str, Any]]:
    """Points of one signal, oldest first and the last at the present.

    Each has `matches`, `at` (when the last of them was known, seconds since 1970), `mean`, `low` and `high`: of the
    difference challenger - control, or of their ratio, turned the way people read it. `mean` is None where the
    control's is 0 and a ratio is asked for.
    """
    found = matches(signal, signal.read(evidence))
    alpha = signal.share * plan.alpha
    return [
        {
            "matches": count,
            "at": float(found.known_at[count - 1]),
            **_point(signal, found.means[:count], alpha),
        }
        for count in _counts(len(found.means))
    ]


def limit(signal: Signal, plan: Plan) -> float | None:
    """The margin in the units of `course`: beyond it lies harm. None where the plan does not watch the signal."""
    margin = signal.margin(plan)
    return None if margin is None else _turned(signal, margin)


def _counts(matched: int) -> list[int]:
    """At most `_POINTS` counts up to all. All but the last are the same at a later look, so that they are known."""
    stride = 1
    while matched > stride * _POINTS:
        stride *= 2
    return sorted({*range(stride, matched + 1, stride), *([matched] if matched else [])})


def _point(signal: Signal, means: np.ndarray, alpha: float) -> dict[str, float | None]:
    key = (signal.name, alpha, hashlib.blake2b(means.tobytes(), digest_size=16).digest())
    point = _known.get(key)
    if point is None:
        found = weigh_matches(signal, means, alpha)
        change = found["change"]
        mean = None if change is None else _turned(signal, change)
        point = _known[key] = {"mean": mean, "low": found["low"], "high": found["high"]}
        if len(_known) > _KEPT:
            _known.pop(next(iter(_known)), None)
    return point


def _turned(signal: Signal, worse: float) -> float:
    """A worsening as a difference or a ratio of challenger to control."""
    if signal.ratio:
        return round(1 + worse, 4)
    return -worse if signal.better == "more" else worse
