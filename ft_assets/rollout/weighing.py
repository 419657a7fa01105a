"""Each signal's figures: both arms, bounds of what lies between them, and whether and when harm was proven.

Alpha is split over the signals (a weighted Bonferroni bound, as their evidence is dependent), so that an equal
challenger is ever rolled back, by any of them, with probability alpha at most.
"""

import math
from typing import Any

import numpy as np

from ft_assets.recipe_rollout import Rollout as Plan
from ft_assets.rollout.error_rate import first_alarm
from ft_assets.rollout.evidence import Evidence
from ft_assets.rollout.sequential import difference, first_refuted, last_refuted, log_wealth
from ft_assets.rollout.signals import FAILURE_SHARE, SIGNALS, Reading, Signal, matches

_HIGHEST_RATIO = 64.0


def weigh_signal(signal: Signal, evidence: Evidence, plan: Plan) -> dict[str, Any]:
    """One signal in JSON values: what `weigh_matches` says, and `answers` of (challenger, control).

    With a `unit` also `plain`, the mean of each arm's values as they are, neither cut nor matched.
    """
    reading = signal.read(evidence)
    found = matches(signal, reading)
    alpha, count = signal.share * plan.alpha, int(reading.answers.challenger.sum())
    plain = {"unit": signal.unit, "plain": _plain(reading)} if signal.unit else {}
    return {
        **weigh_matches(signal, found.means, alpha),
        "measure": "ratio" if signal.ratio else "difference",
        "better": signal.better,
        "answers": [count, len(reading.answers) - count],
        "margin": signal.margin(plan),
        "alpha": round(alpha, 6),
        **plain,
    }


def weigh_matches(signal: Signal, means: np.ndarray, alpha: float) -> dict[str, float | None]:
    """What some matches say: `challenger`, `control` (means over matches), `change` (how much worse), `low` and
    `high` (bounds of their difference, or ratio, each wrong with probability `alpha` at most).

    Args:
        signal: what the matches are of.
        means: as in `Matches`.
        alpha: the signal's.
    """
    low, high = (_ratio if signal.ratio else _between)(means, alpha, signal.effect)
    challenger, control = means.mean(axis=0).tolist() if len(means) else (None, None)
    change = _change(signal, means)
    if signal.better == "more":
        low, high = -high, -low
        challenger, control = (None if mean is None else 1 - mean for mean in (challenger, control))
    found = {"challenger": challenger, "control": control, "change": change, "low": low, "high": high}
    return {name: None if value is None else round(value, 4) for name, value in found.items()}


def harm_at(signal: Signal, evidence: Evidence, plan: Plan) -> float | None:
    """When harm was proven (seconds since 1970), or None: the same at every later look, whoever looked when."""
    margin = signal.margin(plan)
    if margin is None:
        return None
    found = matches(signal, signal.read(evidence))
    allowed = margin if signal.tolerates else 0.0
    claim, means = (0.0, _scaled(found.means, 1 + allowed)) if signal.ratio else (allowed, found.means)
    first = first_refuted(means[:, 0] - means[:, 1], claim, signal.effect, signal.share * plan.alpha)
    return None if first is None else float(found.known_at[first])


def failing_at(evidence: Evidence, plan: Plan) -> float | None:
    """When it was proven that the challenger fails more often than the plan allows, or None."""
    answers = evidence.of(True).ended
    first = first_alarm(answers.failed, plan.max_error_rate, FAILURE_SHARE * plan.alpha)
    return None if first is None else float(answers.served_at[first])


def ended_at(evidence: Evidence, plan: Plan) -> float | None:
    """When the first proof of any harm was there, or None. A look at that time or later rolls back."""
    times = [harm_at(signal, evidence, plan) for signal in SIGNALS] + [failing_at(evidence, plan)]
    return min((time for time in times if time is not None), default=None)


def doubtful(signal: Signal, weighed: dict[str, Any], plan: Plan) -> bool:
    """Whether what was seen so far is worse by more than the margin, on as many answers as a step needs."""
    enough = plan.min_requests if plan.shadow is None else min(plan.min_requests, plan.shadow.min_requests)
    margin, change = weighed["margin"], weighed["change"]
    if margin is None or change is None or min(weighed["answers"]) < enough:
        return False
    return change > margin


def _plain(reading: Reading) -> list[float | None]:
    arms = (reading.values[reading.answers.challenger == side] for side in (True, False))
    return [round(float(values.mean()), 1) if len(values) else None for values in arms]


def _change(signal: Signal, means: np.ndarray) -> float | None:
    """How much worse the challenger is, as a difference or as a share of the control's; below 0 it is better."""
    if not len(means):
        return None
    challenger, control = means.mean(axis=0)
    if not signal.ratio:
        return float(challenger - control)
    return float(challenger / control - 1) if control else None


def _between(means: np.ndarray, alpha: float, effect: float) -> tuple[float, float]:
    bounds = difference(means[:, 0] - means[:, 1], alpha, effect)
    return bounds.low, bounds.high


def _ratio(means: np.ndarray, alpha: float, effect: float) -> tuple[float, float]:
    """Bounds of the ratio of means, in [1/64, 64]: a claimed ratio is refuted like a difference of 0 after scaling."""

    def above(means: np.ndarray, ratio: float) -> bool:
        scaled = _scaled(means, ratio)
        wealth = log_wealth(scaled[:, 0] - scaled[:, 1], 0.0, effect)
        return len(wealth) > 0 and float(wealth[-1]) >= -math.log(alpha)

    edge = math.log(_HIGHEST_RATIO)
    low = last_refuted(lambda log: above(means, math.exp(log)), -edge, edge)
    high = -last_refuted(lambda log: above(means[:, ::-1], math.exp(log)), -edge, edge)
    return math.exp(low), math.exp(high)


def _scaled(means: np.ndarray, ratio: float) -> np.ndarray:
    """Means of equal expectation if the challenger's is `ratio` times the control's, both within [0, 1]."""
    return means * np.array([min(1.0, 1 / ratio), min(1.0, ratio)])
