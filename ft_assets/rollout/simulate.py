"""How often the canary errs and how soon it finds harm, beside fixed thresholds on the same invented traffic.

Every rollout is judged by the code that judges real ones. It is followed for all its looks, whatever good it
shows: one that were promoted early could not be rolled back falsely later, and would make the figures better.
"""

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np

from ft_assets.recipe_rollout import Rollout as Plan
from ft_assets.rollout.fixed_rules import RULES, failed_intervals
from ft_assets.rollout.simulated_traffic import CHAMPION, LOOKS, PER_LOOK, WORSE, Arm, between, stream
from ft_assets.rollout.weighing import ended_at

Step = Callable[[], None]
Looks = dict[str, list[float]]
"""Who judges -> the look that rolled each rollout back, infinity where none did."""

_OURS = "ours"
KINDS = 1 + len(WORSE)
"""Kinds of challengers that are judged."""


def simulate(rollouts: int, seed: int = 0, step: Step = lambda: None) -> dict[str, Any]:
    """Judge `rollouts` challengers that are equal, and as many that are worse in one thing, for each such thing.

    Args:
        seed: the same one gives the same figures.
        step: called after each rollout.

    Returns:
        JSON values: `equal` {rollouts, false_rollbacks, rate, …}, `worse` {signal: {caught_share, median_requests}},
        `fixed_rules` {rule: {false_rollback_rate, median_requests, by_signal}}. Requests are those of one arm.
        A fixed rule's own two figures are of its check of approvals alone; `by_signal` has all three checks.
    """
    plan = Plan()
    equal = _judge(CHAMPION, rollouts, plan, np.random.default_rng([seed, 0]), step)
    worse = {
        name: _judge(arm, rollouts, plan, np.random.default_rng([seed, number]), step)
        for number, (name, arm) in enumerate(WORSE.items(), start=1)
    }
    false = _caught(equal[_OURS])
    return {
        "equal": {
            "rollouts": rollouts,
            "false_rollbacks": false,
            "rate": false / rollouts,
            "interval": wilson(false, rollouts),
            "alpha": plan.alpha,
        },
        "worse": {name: _found(looks[_OURS]) for name, looks in worse.items()},
        "fixed_rules": {rule: _rule(rule, equal, worse) for rule in RULES},
    }


def wilson(hits: int, trials: int) -> list[float]:
    """95 % score interval of a share (Wilson, JASA 22, 1927)."""
    z, share = 1.959964, hits / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * np.sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2) / (1 + z * z / trials)
    return [round(float(max(0.0, middle - half)), 4), round(float(min(1.0, middle + half)), 4)]


def _judge(arm: Arm, rollouts: int, plan: Plan, random: np.random.Generator, step: Step) -> Looks:
    found: Looks = {_OURS: []}
    for _ in range(rollouts):
        evidence = stream(arm, random)
        ended = ended_at(evidence, plan)
        found[_OURS].append(inf if ended is None else ended)
        for signal, failed in failed_intervals(evidence.of(True), LOOKS, between()).items():
            for name, rule in RULES.items():
                found.setdefault(f"{name} {signal}", []).append(rule.first(failed) or inf)
        step()
    return found


def _rule(rule: str, equal: Looks, worse: dict[str, Looks]) -> dict[str, Any]:
    by_signal = {
        signal: {
            "false_rollback_rate": _share(equal[f"{rule} {signal}"]),
            **_found(looks[f"{rule} {signal}"]),
        }
        for signal, looks in worse.items()
    }
    main = by_signal["approvals"]
    own = {name: main[name] for name in ("false_rollback_rate", "median_requests")}
    return {**own, "by_signal": by_signal}


def _found(looks: list[float]) -> dict[str, Any]:
    """Share caught within all looks, and the median over all rollouts; None where most were not caught."""
    median = float(np.median(looks)) * PER_LOOK
    return {"caught_share": _share(looks), "median_requests": None if median == inf else median}


def _share(looks: list[float]) -> float:
    return _caught(looks) / len(looks)


def _caught(looks: list[float]) -> int:
    return sum(look < inf for look in looks)
