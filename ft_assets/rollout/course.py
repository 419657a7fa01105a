"""How a signal came to where it is: its mean and bounds after more and more matches, as `weighing.py` has them.

Each point is what a look at that moment saw, except that later feedback changes the worth of earlier answers.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from ft_assets.recipe_rollout import Rollout as Plan
from ft_assets.rollout.evidence import Evidence
from ft_assets.rollout.signals import Signal, matches
from ft_assets.rollout.weighing import weigh_matches

_POINTS = 40


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
            **_point(signal, found.means[:count].tobytes(), alpha),
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


@lru_cache(maxsize=2048)  # a page looks again and again, and only the last point is new
def _point(signal: Signal, means: bytes, alpha: float) -> dict[str, float | None]:
    found = weigh_matches(signal, np.frombuffer(means).reshape(-1, 2), alpha)
    change = found["change"]
    mean = None if change is None else _turned(signal, change)
    return {"mean": mean, "low": found["low"], "high": found["high"]}


def _turned(signal: Signal, worse: float) -> float:
    """A worsening as a difference or a ratio of challenger to control."""
    if signal.ratio:
        return round(1 + worse, 4)
    return -worse if signal.better == "more" else worse
