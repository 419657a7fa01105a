"""Rules with fixed thresholds, as Argo Rollouts and Flagger have them, for comparison by `ft-assets simulate canary`.

Every interval they measure the challenger alone against a fixed bound. Argo's analysis fails once more than
`failureLimit` measurements have failed; Flagger's canary is rolled back once `threshold` checks have.
"""

from dataclasses import dataclass

import numpy as np

from ft_assets.rollout.evidence import Answers


@dataclass(frozen=True)
class FixedRule:
    """Rolls back at the `failures`-th interval that failed."""

    failures: int

    def first(self, failed: np.ndarray) -> int | None:
        """Number of the interval that rolls back, from 1; `failed` has a bool for each interval."""
        places = np.flatnonzero(failed)
        return int(places[self.failures - 1]) + 1 if len(places) >= self.failures else None


RULES = {"argo_like": FixedRule(failures=4), "flagger_like": FixedRule(failures=5)}
"""`failureLimit: 3` and `threshold: 5`, as in many published examples."""


@dataclass(frozen=True)
class Bounds:
    """What an interval may measure.

    Least share of answers that succeed and are approved, most p95 latency in ms, most tokens an answer.
    """

    approvals: float
    latency: float
    cost: float


def failed_intervals(answers: Answers, intervals: int, bounds: Bounds) -> dict[str, np.ndarray]:
    """Which intervals each of three checks fails, bool of shape (intervals,) each.

    Args:
        answers: of the challenger, as many in each interval. Those that users cut off are not measured.
    """
    thumbs, latency, tokens = (
        np.where(answers.cancelled, np.nan, column).reshape(intervals, -1)
        for column in (answers.reward, answers.latency_ms, answers.tokens)
    )
    return {
        "approvals": np.nanmean(thumbs, axis=1) < bounds.approvals,
        "latency": np.nanpercentile(latency, 95, axis=1) > bounds.latency,
        "cost": np.nanmean(tokens, axis=1) > bounds.cost,
    }
