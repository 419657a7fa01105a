"""How often the gate errs and how often it finds what is there, on invented results whose truth is known.

Every gate is a real `decide` on a real table of results. Nothing here is fitted to make the gate look good: the
stated figures come from `power.py` and the recipe's confidence, the others are counted.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa

from ft_assets.evaluation.claim import error_rate
from ft_assets.evaluation.comparison import Results
from ft_assets.evaluation.gate import decide
from ft_assets.evaluation.measure import LOSS_MEASURE, Measure
from ft_assets.evaluation.power import Scatter, detectable_gain, power_at, power_of
from ft_assets.evaluation.simulated_rows import (
    LOSSES,
    YES_NO,
    Layout,
    answers,
    clustered,
    independent,
    losses,
)
from ft_assets.recipe_evaluation import Gate

Step = Callable[[], None]

_ROWS, _FEW_ROWS, _YES_NO_ROWS = 240, 20, (50, 200)
_PILOT = 200  # tables from which a scatter is taken before any gate is judged
_DAMAGED = "cli"  # about a quarter of the rows
_DAMAGE = {"": 0.3, _DAMAGED: -0.3}  # true gain, by slice
_LOSS_GATE, _YES_NO_GATE = Gate(), Gate(primary="exact")
_SLICE_BOUND = _LOSS_GATE.slice_margin * LOSS_MEASURE.margin


@dataclass(frozen=True)
class Scenario:
    """Candidates of one kind.

    Attributes:
        draw: results of one of them.
        layout: their rows.
        effect: true gain of the primary metric, over all rows.
        scatter: of its differences, as a report before would have measured it.
    """

    draw: Callable[[np.random.Generator], pa.Table]
    measured: list[Measure]
    gate: Gate
    layout: Layout
    effect: float = 0.0
    scatter: Scatter | None = None


@dataclass(frozen=True)
class Count:
    """How many of the gates of one scenario let the candidate through.

    Attributes:
        promoted: passed every rule.
        superior: passed the primary metric's rule against the base, whatever the others say.
        failed: was failed.
        plain: would have passed a gate that only compares means.
    """

    gates: int
    promoted: int
    superior: int
    failed: int
    plain: int


def scenarios(seed: int) -> dict[str, Scenario]:
    """Every kind of candidate that is judged, by name."""
    usual, few = clustered(_ROWS, seed), clustered(_FEW_ROWS, seed)
    found = {
        "null": _of_losses(usual, {"": 0.0}),
        "gain": _with_effect(lambda effect: _of_losses(usual, {"": effect})),
        "slice_loss": _of_losses(usual, _DAMAGE),
        "slice_at_margin": _of_losses(usual, {**_DAMAGE, _DAMAGED: -_SLICE_BOUND}),
        "null_skewed": _of_losses(usual, {"": 0.0}, skewed=True),
        "null_20_rows": _of_losses(few, {"": 0.0}),
        "null_20_rows_skewed": _of_losses(few, {"": 0.0}, skewed=True),
    }
    for rows in _YES_NO_ROWS:
        found[f"yes_no_{rows}_null"] = _of_answers(rows, 0.0)
        found[f"yes_no_{rows}_gain"] = _with_effect(lambda effect, rows=rows: _of_answers(rows, effect))
    return found


def simulate(
    kinds: Mapping[str, Scenario], gates: int, seed: int = 0, step: Step = lambda: None
) -> dict[str, dict[str, Any]]:
    """Judge `gates` candidates of each kind.

    Args:
        kinds: as `scenarios` makes them.
        gates: of each kind.
        seed: the same one gives the same figures.
        step: called after each gate.

    Returns:
        By kind, as JSON values: `null` {gates, promoted, rate, stated_rate, …}, `gain` {effect, rows, power,
        stated_power, …}, `slice_loss` {gates, blocked, …}, and the like.
    """
    found = {}
    for number, (name, scenario) in enumerate(kinds.items()):
        count = _count(scenario, gates, np.random.default_rng([seed, number]), step)
        found[name] = {**_figures(name, scenario, count), **_shares(count), **_sizes(scenario)}
    return found


def wilson(hits: int, trials: int) -> list[float]:
    """95 % score interval of a share (Wilson, JASA 22, 1927)."""
    z = NormalDist().inv_cdf(0.975)
    share = hits / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * sqrt(share * (1 - share) / trials + (z / (2 * trials)) ** 2) / (1 + z * z / trials)
    return [round(max(0.0, middle - half), 4), round(min(1.0, middle + half), 4)]


def _of_losses(layout: Layout, gains: dict[str, float], skewed: bool = False) -> Scenario:
    effect = float(np.mean([gains.get(name, gains[""]) for name in layout.slices]))
    return Scenario(partial(losses, layout, gains, skewed), LOSSES, _LOSS_GATE, layout, effect)


def _of_answers(rows: int, gain: float) -> Scenario:
    layout = independent(rows)
    return Scenario(partial(answers, layout, gain), YES_NO, _YES_NO_GATE, layout, gain)


def _with_effect(make: Callable[[float], Scenario]) -> Scenario:
    """The scenario whose true gain is the least that `power.py` says is found in four of five tries."""
    idle = make(0.0)
    random = np.random.default_rng(1)
    powers = [power_of(Results(idle.draw(random)), _primary(idle), idle.gate, None) for _ in range(_PILOT)]
    seen = [power.here for power in powers if power is not None]
    changed = [one.changed for one in seen if one.changed is not None]
    scatter = Scatter(
        metric=idle.gate.primary,
        deviation=float(np.sqrt(np.mean([one.deviation**2 for one in seen]))),
        changed=float(np.mean(changed)) if changed else None,
    )
    gain = detectable_gain(scatter, idle.layout.rows, idle.layout.count, idle.gate)
    return replace(make(gain), scatter=scatter)


def _primary(scenario: Scenario) -> Measure:
    return next(measure for measure in scenario.measured if measure.name == scenario.gate.primary)


def _count(scenario: Scenario, gates: int, random: np.random.Generator, step: Step) -> Count:
    primary = _primary(scenario)
    promoted = superior = failed = plain = 0
    for _ in range(gates):
        table = scenario.draw(random)
        verdict = decide(table, scenario.measured, scenario.gate, [], scenario.layout.rows, False)
        rule = next(rule for rule in verdict.rules if rule.name == f"{primary.name}_vs_base")
        promoted += verdict.verdict == "pass"
        superior += rule.outcome == "pass"
        failed += verdict.verdict == "fail"
        base, candidate = (verdict.table()[arm] or {} for arm in ("base", "candidate"))
        plain += primary.sign * (candidate[primary.name] - base[primary.name]) > 0
        step()
    return Count(gates, promoted, superior, failed, plain)


def _figures(name: str, scenario: Scenario, count: Count) -> dict[str, Any]:
    """What the scenario is about; a candidate that is no good may pass at the stated rate at most."""
    if scenario.scatter is not None:
        layout = scenario.layout
        stated = power_at(scenario.effect, scenario.scatter, layout.rows, layout.count, scenario.gate)
        return {
            "effect": round(scenario.effect, 4),
            "power": count.superior / count.gates,  # of the rule that is stated; `promoted` is of all rules
            "stated_power": round(stated, 3),
        }
    if name == "slice_loss":
        return {
            "blocked": count.gates - count.promoted,
            "slice_effect": _DAMAGE[_DAMAGED],
            "effect": scenario.effect,
        }
    return {"rate": count.promoted / count.gates, "stated_rate": round(error_rate(scenario.gate), 6)}


def _shares(count: Count) -> dict[str, Any]:
    return {
        "gates": count.gates,
        "promoted": count.promoted,
        "promoted_interval": wilson(count.promoted, count.gates),
        "superior": count.superior,
        "superior_interval": wilson(count.superior, count.gates),
        "failed": count.failed,
        "plain_rule_promoted": count.plain,
    }


def _sizes(scenario: Scenario) -> dict[str, Any]:
    return {"rows": scenario.layout.rows, "clusters": scenario.layout.count}
