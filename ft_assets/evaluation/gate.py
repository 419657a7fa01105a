"""The gate: whether a candidate may be released, from what was measured and what was found.

Each rule says pass, fail or inconclusive in a sentence. One fail fails the candidate; failing that, one
inconclusive rule makes the verdict inconclusive, which never promotes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from ft_assets.evaluation.comparison import METRICS, Arm, Difference, Metric, Results, Score
from ft_assets.recipe import Gate
from ft_assets.splitting.contamination import Match

Outcome = Literal["pass", "fail", "inconclusive"]
_ORDER: tuple[Outcome, ...] = ("fail", "inconclusive", "pass")
_NAMED = 5  # contaminated rows named in a reason; the report lists them all


@dataclass(frozen=True)
class Rule:
    """What one rule says, in a sentence with its figures."""

    name: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Verdict:
    """The gate's answer. `reasons` are those of the rules that decided it."""

    verdict: Outcome
    rules: list[Rule]
    scores: list[Score]
    differences: list[Difference]

    @property
    def reasons(self) -> list[str]:
        """Fails first, then what is inconclusive; the reasons of a pass are those of every rule."""
        ranked = sorted(self.rules, key=lambda rule: _ORDER.index(rule.outcome))
        return [rule.reason for rule in ranked if self.verdict == "pass" or rule.outcome != "pass"]

    def table(self) -> dict[str, dict[str, float] | None]:
        """Mean of each metric by arm; an arm that was not measured is None."""
        means: dict[str, dict[str, float] | None] = {"base": None, "incumbent": None, "candidate": None}
        for score in self.scores:
            row = means[score.arm] or {"rows": score.interval.rows}
            means[score.arm] = {**row, score.metric: score.interval.mean}
        return means


def decide(
    rows: pa.Table, settings: Gate, matches: Sequence[Match], checked: int, has_incumbent: bool
) -> Verdict:
    """Judge a candidate.

    Args:
        rows: per-row results (`RESULT_SCHEMA`) of base, candidate and, where there is one, incumbent.
        settings: the recipe's gate.
        matches: eval rows that the candidate or an ancestor trained on.
        checked: eval rows that were searched for.
        has_incumbent: whether an adapter serves already, which the candidate must not fall behind.

    Raises:
        Refused: the arms cannot be paired.
    """
    results = Results(rows)
    rules = [
        _contamination(matches, checked),
        _enough_rows(len(results.ids), settings),
        *_health(results),
        *_against(results, "base", settings),
    ]
    if has_incumbent:
        rules += _against(results, "incumbent", settings) if "incumbent" in results.arms else [_NO_INCUMBENT]
    return Verdict(
        verdict=next(outcome for outcome in _ORDER if any(rule.outcome == outcome for rule in rules)),
        rules=rules,
        scores=results.scores(settings),
        differences=[*_differences(results, settings)],
    )


def plain_verdict(rows: pa.Table) -> tuple[Outcome, str]:
    """What a gate says that compares two means and looks at nothing else. Shown beside ours, never obeyed."""
    results = Results(rows)
    ours, base = results.values("candidate", "loss"), results.values("base", "loss")
    assert ours is not None and base is not None
    better = bool(ours.mean() < base.mean())
    sentence = (
        f"mean loss {ours.mean():.3f} nats a token, {'better' if better else 'no better'} than the base's "
        f"{base.mean():.3f}"
    )
    return ("pass" if better else "fail"), sentence


_NO_INCUMBENT = Rule("incumbent", "inconclusive", "the incumbent was not measured on these rows")


def _contamination(matches: Sequence[Match], checked: int) -> Rule:
    if not matches:
        return Rule("contamination", "pass", f"none of {checked} eval rows was seen in training")
    first = {match.eval_id: match for match in reversed(matches)}
    named = [
        f"row {match.eval_id[:12]} is in trained row {match.trained_id[:12]} ({match.kind}, similarity "
        f"{match.similarity:.2f}, from {match.trained_source}, batch {match.trained_batch or 'unknown'})"
        for match in [*reversed(first.values())][:_NAMED]
    ]
    more = f"; and {len(first) - _NAMED} more" if len(first) > _NAMED else ""
    reason = f"{len(first)} of {checked} eval rows were seen in training: {'; '.join(named)}{more}"
    return Rule("contamination", "fail", reason)


def _enough_rows(count: int, settings: Gate) -> Rule:
    if count < settings.min_rows:
        reason = f"{count} eval rows are too few to judge by; the gate wants {settings.min_rows}"
        return Rule("rows", "inconclusive", reason)
    return Rule("rows", "pass", f"{count} eval rows were judged ({settings.min_rows} are wanted)")


def _health(results: Results) -> Iterator[Rule]:
    """A model that says nothing, or whose numbers have run away, is broken whatever its means are."""
    answers = results.answers("candidate")
    if answers and not any(answer.strip() for answer in answers):
        yield Rule("answers", "fail", f"all {len(answers)} answers of the candidate are empty")
    for arm in results.arms:
        losses = results.values(arm, "loss")
        broken = 0 if losses is None else int((~np.isfinite(losses)).sum())
        if broken:
            outcome: Outcome = "fail" if arm == "candidate" else "inconclusive"
            yield Rule("answers", outcome, f"the loss of the {arm} is not a number on {broken} eval rows")


def _against(results: Results, arm: Arm, settings: Gate) -> list[Rule]:
    """Losses must fall against the base and may hardly rise against the incumbent; answers may hardly worsen."""
    bounds: dict[Metric, float] = {
        "loss": -settings.min_gain_over_base if arm == "base" else settings.max_loss_over_incumbent,
        "chrf": settings.max_chrf_drop,
        "format_ok": settings.max_format_drop,
    }
    return [
        _bound(difference, bound, settings)
        for metric, bound in bounds.items()
        if (difference := results.difference(arm, metric, settings)) is not None
    ]


def _bound(difference: Difference, bound: float, settings: Gate) -> Rule:
    """Whether the whole interval lies on the good side of a bound."""
    name, unit, scale, sign = _WORDS[difference.metric]
    interval = difference.interval
    low, high = sorted((sign * interval.low, sign * interval.high))  # turned so that up is worse
    outcome: Outcome = "pass" if high < bound else "fail" if low > bound else "inconclusive"
    figures = [f"{scale * value:+.3f}" for value in (interval.mean, interval.low, interval.high)]
    reason = (
        f"{name} minus the {difference.against}'s: {figures[0]} {unit} ({settings.confidence:.0%} interval "
        f"{figures[1]} to {figures[2]}); to pass, the whole interval must lie {'below' if sign > 0 else 'above'} "
        f"{scale * sign * bound:+.3f}"
    )
    return Rule(f"{difference.metric}_vs_{difference.against}", outcome, reason)


# Metric -> name, unit, scale to that unit, and +1 where up is worse.
_WORDS: dict[Metric, tuple[str, str, float, int]] = {
    "loss": ("loss", "nats a token", 1.0, 1),
    "chrf": ("chrF", "points (of 100)", 1.0, -1),
    "format_ok": ("share of well-formed answers", "percentage points", 100.0, -1),
}


def _differences(results: Results, settings: Gate) -> Iterator[Difference]:
    for arm in results.arms:
        for metric in METRICS:
            if arm != "candidate" and (found := results.difference(arm, metric, settings)) is not None:
                yield found
