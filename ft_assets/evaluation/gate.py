"""The gate: whether a candidate may be released, from what was measured and what was found.

Each rule says pass, fail or inconclusive in a sentence. One fail fails the candidate; failing that, one
inconclusive rule makes the verdict inconclusive, which never promotes. `docs/gate.md` says how rules are asked.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ft_assets.evaluation.claim import Claim, judge
from ft_assets.evaluation.comparison import Difference, Results, Score, pair
from ft_assets.evaluation.measure import LOSS_MEASURE, Measure
from ft_assets.evaluation.past import Past
from ft_assets.evaluation.power import Power, power_of
from ft_assets.evaluation.retention_claims import retention_claims
from ft_assets.evaluation.rule import FROM_WORST, Outcome, Rule
from ft_assets.evaluation.slices import slice_parts
from ft_assets.recipe_evaluation import Gate
from ft_assets.splitting.contamination import Match

_NAMED = 5  # contaminated rows named in a reason; the report lists them all


@dataclass(frozen=True)
class Verdict:
    """The gate's answer. `reasons` are those of the rules that decided it.

    Attributes:
        measured: every metric, in the order of the report's tables.
        differences: of all rows; metric by metric, against base and incumbent.
        parts: the same of single slices and of tasks.
        power: what the primary metric's rule can find; None where it was not measured.
    """

    verdict: Outcome
    rules: list[Rule]
    measured: list[Measure]
    scores: list[Score]
    differences: list[Difference]
    parts: list[Difference]
    power: Power | None

    @property
    def reasons(self) -> list[str]:
        """Fails first, then what is inconclusive; the reasons of a pass are those of every rule."""
        ranked = sorted(self.rules, key=lambda rule: FROM_WORST.index(rule.outcome))
        return [rule.reason for rule in ranked if self.verdict == "pass" or rule.outcome != "pass"]

    @property
    def power_sentence(self) -> str:
        """What the gate can find on so many rows, said before what it found."""
        if self.power is None:
            return "What the gate can find is not known, as the primary metric is not a number on every row."
        name = self.power.scatter.metric
        return self.power.sentence(next(measure for measure in self.measured if measure.name == name))

    def table(self) -> dict[str, dict[str, float] | None]:
        """Mean of each metric by arm; an arm that was not measured is None."""
        means: dict[str, dict[str, float] | None] = {"base": None, "incumbent": None, "candidate": None}
        for score in self.scores:
            row = means[score.arm] or {"rows": score.interval.rows}
            means[score.arm] = {**row, score.metric: score.interval.mean}
        return means


def decide(
    rows: pa.Table,
    measured: Sequence[Measure],
    gate: Gate,
    matches: Sequence[Match],
    checked: int,
    has_incumbent: bool,
    retention: pa.Table | None = None,
    retention_margin: float = 0.05,
    past: Past = Past(),  # noqa: B008 (frozen)
    found: Sequence[Rule] = (),
) -> Verdict:
    """Judge a candidate.

    Args:
        rows: per-row results (`result_schema`) of base, candidate and, where there is one, incumbent.
        measured: every metric in `rows`.
        gate: the recipe's gate.
        matches: eval rows that the candidate or an ancestor trained on.
        checked: eval rows that were searched for.
        has_incumbent: whether an adapter serves already, which the candidate must not fall behind.
        retention: scores of tasks (arm, id, task, score) of base and candidate, where the recipe asks for any.
        retention_margin: share of a task's score that may be lost.
        past: what the same rows judged before.
        found: rules of tests that look at more than these rows.

    Raises:
        Refused: the arms cannot be paired.
    """
    results = Results(rows)
    primary = next(measure for measure in measured if measure.name == gate.primary)
    claims = [*_claims(results, measured, primary, gate), *_slice_claims(results, primary, gate)]
    if retention is not None:
        claims += retention_claims(retention, retention_margin, gate)
    rules = [
        _contamination(matches, checked),
        _enough_rows(int(results.applies(primary.name).sum()), primary, gate),
        past.rule,
        *_health(results, measured),
        *found,
        *judge(claims, gate),
    ]
    if has_incumbent and "incumbent" not in results.arms:
        rules.append(Rule("incumbent", "inconclusive", "the incumbent was not measured on these rows"))
    differences = [claim.difference for claim in claims]
    return Verdict(
        verdict=next(outcome for outcome in FROM_WORST if any(rule.outcome == outcome for rule in rules)),
        rules=rules,
        measured=[*measured],
        scores=results.scores(measured, gate),
        differences=[one for one in differences if one.part is None],
        parts=[one for one in differences if one.part is not None],
        power=power_of(results, primary, gate, past.scatter),
    )


def plain_verdict(rows: pa.Table, measure: Measure = LOSS_MEASURE) -> tuple[Outcome, str]:
    """What a gate says that compares two means and looks at nothing else. Shown beside ours, never obeyed."""
    results = Results(rows)
    applies = results.applies(measure.name)
    ours, base = (measure.scale * results.values(arm, measure.name)[applies].mean() for arm in pair("base"))
    better = bool(measure.sign * (ours - base) > 0)
    sentence = (
        f"mean {measure.title} {ours:.3f}, {'better' if better else 'no better'} than the base's {base:.3f}"
    )
    return ("pass" if better else "fail"), sentence


def _claims(results: Results, measured: Sequence[Measure], primary: Measure, gate: Gate) -> Iterator[Claim]:
    """Better on the primary metric, no worse on any other; the incumbent is held to as the recipe says."""
    for against in results.arms[:-1]:
        for measure in measured:
            better = measure is primary and (against == "base" or gate.superior_to == "both")
            bound = gate.min_gain if better else -measure.allowed_loss(gate)
            difference = results.difference(against, measure, bound, gate)
            if difference is not None:
                yield Claim(f"{measure.name}_vs_{against}", measure, difference)


def _slice_claims(results: Results, primary: Measure, gate: Gate) -> Iterator[Claim]:
    """No slice may lose much, whatever the mean of all."""
    bound = -gate.slice_margin * primary.allowed_loss(gate)
    for part, within in slice_parts(results.slices, results.applies(primary.name), gate.min_slice_rows):
        for against in results.arms[:-1]:
            difference = results.difference(against, primary, bound, gate, part, within)
            if difference is not None:
                yield Claim(f"{primary.name}_vs_{against}:{part}", primary, difference)


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


def _enough_rows(count: int, primary: Measure, gate: Gate) -> Rule:
    if count < gate.min_rows:
        reason = (
            f"{count} eval rows with {primary.name} are too few to judge by; the gate wants {gate.min_rows}"
        )
        return Rule("rows", "inconclusive", reason)
    return Rule("rows", "pass", f"{count} eval rows were judged ({gate.min_rows} are wanted)")


def _health(results: Results, measured: Sequence[Measure]) -> Iterator[Rule]:
    """A model that says nothing, or whose numbers have run away, is broken whatever its means are."""
    answers = results.answers("candidate")
    if answers and not any(answer.strip() for answer in answers):
        yield Rule("answers", "fail", f"all {len(answers)} answers of the candidate are empty")
    for arm in results.arms:
        for measure in measured:
            applies, values = results.applies(measure.name), results.values(arm, measure.name)
            broken = int((applies & ~np.isfinite(values)).sum())
            if broken:
                outcome: Outcome = "fail" if arm == "candidate" else "inconclusive"
                reason = f"the {measure.name} of the {arm} is not a number on {broken} eval rows"
                yield Rule("answers", outcome, reason)
