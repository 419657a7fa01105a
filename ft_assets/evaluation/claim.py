"""What must be shown of a candidate, metric by metric and slice by slice, and what the rows say to each claim.

To pass, every claim must be shown, each at its own level. That needs no correction for their number: a candidate
that breaks one of them passes no more often than that one claim errs (intersection-union test; Berger, Technometrics
24, 1982). A fail is said when one of many claims is refuted, and then chance has many tries: those p values are
corrected by Holm's method (Scandinavian Journal of Statistics 6, 1979).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from statistics import NormalDist

from ft_assets.evaluation.comparison import Difference
from ft_assets.evaluation.measure import Measure
from ft_assets.evaluation.rule import Outcome, Rule
from ft_assets.evaluation.statistics import Interval
from ft_assets.recipe_evaluation import Gate

_POWER = 0.8
_HOPELESS = 100  # times the present rows: beyond, no figure is worth saying


@dataclass(frozen=True)
class Claim:
    """A gain above a bound, and what the rows say."""

    name: str
    measure: Measure
    difference: Difference

    @property
    def gain(self) -> Interval:
        """The difference, turned so that up is better."""
        interval = self.difference.interval
        return interval if self.measure.up else interval.mirrored

    @property
    def refuted_by_itself(self) -> bool:
        """Whether the whole interval lies on the wrong side, whatever else is asked."""
        return self.gain.high < self.difference.bound


def judge(claims: Sequence[Claim], gate: Gate) -> list[Rule]:
    """One rule a claim, in their order."""
    corrected = holm([claim.difference.p_fail for claim in claims])
    return [_rule(claim, p_fail, len(claims), gate) for claim, p_fail in zip(claims, corrected, strict=True)]


def error_rate(gate: Gate) -> float:
    """Chance, at most, that one claim that does not hold is taken as shown."""
    return (1 - gate.confidence) / 2


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number, so that any is below a level with at most that chance (Holm 1979)."""
    corrected, largest = [1.0] * len(values), 0.0
    for done, at in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - done) * values[at]))
        corrected[at] = largest
    return corrected


def _rule(claim: Claim, p_fail: float, asked: int, gate: Gate) -> Rule:
    difference, gain = claim.difference, claim.gain
    outcome: Outcome = "inconclusive"
    if gain.low > difference.bound and difference.p <= error_rate(gate):
        outcome = "pass"
    elif p_fail <= error_rate(gate):
        outcome = "fail"
    more = {
        "pass": "",
        "fail": f"; it lies beyond, p {_p(p_fail)} by Holm's correction for {asked} comparisons",
        "inconclusive": f"; {_what_would_settle(claim, asked, gate)}",
    }
    return Rule(claim.name, outcome, f"{_figures(claim, gate)}{more[outcome]}")


def _figures(claim: Claim, gate: Gate) -> str:
    measure, difference, interval = claim.measure, claim.difference, claim.difference.interval
    mean, low, high, bound = (
        f"{measure.scale * value + 0.0:+.3f}"
        for value in (interval.mean, interval.low, interval.high, measure.sign * difference.bound)
    )
    where = f" on {difference.part}" if difference.part else ""
    return (
        f"{measure.name} minus the {difference.against}'s{where}: {mean}{_unit(measure)} "
        f"({gate.confidence:.0%} interval {low} to {high}, {interval.rows} rows, p {_p(difference.p)}); "
        f"to pass, the whole interval must lie {'above' if measure.up else 'below'} {bound}"
    )


def _what_would_settle(claim: Claim, asked: int, gate: Gate) -> str:
    """How many rows more, were the true gain what it seems; or that more rows would rather show a fail."""
    gain, excess = claim.gain, claim.gain.mean - claim.difference.bound
    if claim.refuted_by_itself:
        return f"it lies beyond, which one in {asked} comparisons may by chance"
    if excess <= 0:
        return "more rows would rather show a fail"
    if not isfinite(gain.low):
        return "rows of more clusters are needed"
    certain, likely = NormalDist().inv_cdf(1 - error_rate(gate)), NormalDist().inv_cdf(_POWER)
    times = ((1 + likely / certain) * (gain.mean - gain.low) / excess) ** 2
    if times > _HOPELESS:
        return f"more than {_HOPELESS} times the rows would be needed, were it truly so"
    more = max(1, ceil(gain.rows * (times - 1)))
    return f"about {more} more eval rows would settle it in {_POWER:.0%} of cases, were it truly so"


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "below 0.001"


def _unit(measure: Measure) -> str:
    return f" {measure.unit}" if measure.unit else ""
