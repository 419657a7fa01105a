"""The signals that a rollout is judged by: what each reads from the answers, and which direction is worse.

Every signal is a number from 0 to 1 of each answer, of which more is worse, and is tested by the bets of
`sequential.py` on matched answers (`matching.py`). Two need a scale, which is taken from the control's answers
before a match begins, so that nothing in a match is judged by a scale that it has moved:

- latency: whether the answer was slower than the control's 95th percentile until then. Compares tails without
  assuming their shape; equal arms exceed any threshold equally often, so the test is exact. (Confidence
  sequences of the quantiles themselves, Howard and Ramdas, arXiv 1906.09712, need several times the answers.)
- cost: the answer's tokens, cut at `_CAP` times the control's mean until then, as a share of that. Tokens are
  heavy-tailed, and no test of an unbounded mean is exact; that of the cut mean is. A rise that is only in answers
  longer than the cut is not seen.
"""

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ft_assets.recipe_rollout import Rollout as Plan
from ft_assets.rollout.evidence import Answers, Evidence
from ft_assets.rollout.matching import Matching, matching

REWARD = "reward"
_SLOW = 0.95
_CAP = 4.0
_FIRST = 10
"""Answers of the control that a scale is taken from at least."""


@dataclass(frozen=True)
class Reading:
    """One signal's values in the order in which they were known.

    Attributes:
        answers: whose values they are; the first 2 x `pairs` are pairs.
        values: of each answer; float of shape (answers,).
        known_at: seconds since 1970.
    """

    answers: Answers
    values: np.ndarray
    known_at: np.ndarray
    pairs: int = 0


@dataclass(frozen=True)
class Signal:
    """One thing that may get worse.

    Attributes:
        better: whether people want more or less of it. Inside, values are turned so that more is worse.
        share: of the rollout's alpha.
        scaled: how values become numbers from 0 to 1; None: they are.
        ratio: whether arms are compared by the ratio of their means, not by the difference.
        tolerates: whether a proven worsening within the margin is no harm.
        effect: size of the worsening that is found soonest, in the values' units.
        unit: of the values before they are scaled, where people read their plain means; empty: they read the shares.
    """

    name: str
    read: Callable[[Evidence], Reading]
    better: Literal["more", "less"] = "less"
    share: float = 0.02
    scaled: Callable[[np.ndarray, Matching], np.ndarray] | None = None
    ratio: bool = False
    tolerates: bool = False
    effect: float = 0.1
    unit: str = ""

    def margin(self, plan: Plan) -> float | None:
        """The worsening that is harmful; None where the plan does not watch it."""
        return plan.margin if self.name == REWARD else getattr(plan.watched, self.name)


@dataclass(frozen=True)
class Matches:
    """Means of (challenger, control) in each match, shape (matches, 2), and when each was known."""

    means: np.ndarray
    known_at: np.ndarray


def matches(signal: Signal, reading: Reading) -> Matches:
    """The comparisons that a signal's values allow, oldest first; those without a scale yet are left out."""
    dealt = matching(reading.answers.challenger, reading.pairs)
    values = reading.values if signal.scaled is None else signal.scaled(reading.values, dealt)
    means = dealt.means(values)
    usable = ~np.isnan(means).any(axis=1)
    known_at = np.maximum.accumulate(reading.known_at)[dealt.ends] if len(dealt.ends) else dealt.ends
    return Matches(means[usable], known_at[usable])


def _slower(values: np.ndarray, dealt: Matching) -> np.ndarray:
    """Whether each value is above the control's 95th percentile before its match; NaN where none is known."""
    bars = _scale(values, dealt, lambda known: known[math.ceil(_SLOW * len(known)) - 1])
    return np.where(np.isnan(bars), np.nan, values > bars)


def _capped(values: np.ndarray, dealt: Matching) -> np.ndarray:
    """Each value as a share of `_CAP` times the control's mean before its match, at most 1."""
    caps = _CAP * np.maximum(_scale(values, dealt, lambda known: sum(known) / len(known)), 1.0)
    return np.minimum(values, caps) / caps


def _scale(values: np.ndarray, dealt: Matching, of: Callable[[list[float]], float]) -> np.ndarray:
    """What `of` makes of the control's sorted values before each answer's match; float of shape (answers,)."""
    begins, which = np.unique(dealt.starts, return_inverse=True)
    known: list[float] = []
    scales, done = [], 0
    for start in begins.tolist():
        for value in values[done:start][~dealt.challenger[done:start]].tolist():
            bisect.insort(known, value)
        done = start
        scales.append(of(known) if len(known) >= _FIRST else math.nan)
    of_match = np.array(
        [*np.array(scales, dtype=float)[which], math.nan]
    )  # what is left over has the last: none
    return of_match[dealt.match]


def _judged(evidence: Evidence, column: str, sign: float = 1.0, offset: float = 0.0) -> Reading:
    """Values of what users said about live answers, in the order in which they said it."""
    live = evidence.live
    said = np.flatnonzero(~np.isnan(getattr(live, column)))
    order = said[np.argsort(live.judged_at[said], kind="stable")]
    known = live.take(order)
    return Reading(known, offset + sign * getattr(known, column), known.judged_at)


def _reward(evidence: Evidence) -> Reading:
    return _judged(evidence, "reward", -1.0, 1.0)


def _approvals(evidence: Evidence) -> Reading:
    return _judged(evidence, "thumb", -1.0, 1.0)


def _edits(evidence: Evidence) -> Reading:
    return _judged(evidence, "edit")


def _escalations(evidence: Evidence) -> Reading:
    live = evidence.live
    return Reading(live, live.escalated.astype(float), live.served_at)


def _cancels(evidence: Evidence) -> Reading:
    live = evidence.live
    return Reading(live, live.cancelled.astype(float), live.served_at)


def _refusals(evidence: Evidence) -> Reading:
    answers, pairs = _kept(evidence, ~evidence.answers.cancelled)
    return Reading(answers, answers.refused.astype(float), answers.served_at, pairs)


def _errors(evidence: Evidence) -> Reading:
    answers, pairs = _kept(evidence, ~evidence.answers.cancelled)
    return Reading(answers, answers.failed.astype(float), answers.served_at, pairs)


def _latency(evidence: Evidence) -> Reading:
    answers, pairs = _whole(evidence)
    return Reading(answers, answers.latency_ms, answers.served_at, pairs)


def _cost(evidence: Evidence) -> Reading:
    answers, pairs = _whole(evidence)
    return Reading(answers, answers.tokens, answers.served_at, pairs)


def _whole(evidence: Evidence) -> tuple[Answers, int]:
    """Answers that came to their end and did not fail."""
    return _kept(evidence, ~(evidence.answers.failed | evidence.answers.cancelled))


def _kept(evidence: Evidence, wanted: np.ndarray) -> tuple[Answers, int]:
    """The wanted answers, and how many pairs both of whose answers are; half a pair is left out."""
    kept = wanted.copy()
    both = kept[: 2 * evidence.pairs].reshape(-1, 2).all(axis=1)
    kept[: 2 * evidence.pairs] = np.repeat(both, 2)
    return evidence.answers.take(kept), int(both.sum())


SIGNALS = (
    Signal(REWARD, _reward, better="more", share=0.73),
    Signal("approvals", _approvals, better="more"),
    Signal("edits", _edits),
    Signal("escalations", _escalations),
    Signal("refusals", _refusals),
    Signal("errors", _errors),
    Signal("cancels", _cancels),
    Signal("latency", _latency, share=0.04, scaled=_slower, tolerates=True, effect=0.2),
    Signal("cost", _cost, share=0.08, scaled=_capped, ratio=True, tolerates=True, effect=0.3, unit="tokens"),
)
"""The reward has most of alpha: it is what most rollouts are decided by, and the noisiest. What a share costs is
logarithmic: one with a fiftieth of alpha needs little more than twice the evidence of one that had it all."""

FAILURE_SHARE = 1 - sum(signal.share for signal in SIGNALS)
"""Share of alpha of the alarm for failures above `max_error_rate`."""
