"""What the evidence calls for: wait, move up, promote, roll back, or ask a person. Pure: it changes nothing."""

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from ft_assets.rollout.error_rate import fails_too_often
from ft_assets.rollout.evidence import Answer, Evidence, figures
from ft_assets.rollout.rollout import Rollout
from ft_assets.rollout.sample_ratio import log_evidence
from ft_assets.rollout.sequential import difference

Move = Literal["wait", "step", "promote", "rollback", "hold"]

_RATIO_ALARM = math.log(1e4)
"""A split that is as planned is called wrong in at most one of 10,000 steps."""


@dataclass(frozen=True)
class Verdict:
    """One look at a rollout: the move, why, and the numbers behind it.

    `figures` holds both arms' numbers, the difference of mean rewards (challenger - control) with the bounds
    `low` and `high`, and `judged_at_step`, the challenger's answers judged since the step began.
    """

    rollout: str
    candidate: str
    challenger: str
    move: Move
    reason: str
    figures: dict[str, Any]


def judge(rollout: Rollout, evidence: Evidence) -> Verdict:
    """Look at the evidence so far. Harm is looked for first; a held rollout can only be rolled back."""
    numbers = weigh(rollout, evidence)
    move, reason = (
        _harm(rollout, evidence, numbers)
        or _waits_for_a_person(rollout)
        or _unplanned_split(rollout, evidence)
        or _progress(rollout, numbers)
    )
    return Verdict(rollout.id, rollout.candidate, rollout.challenger, move, reason, numbers)


def weigh(rollout: Rollout, evidence: Evidence) -> dict[str, Any]:
    """The figures of a verdict."""
    interval = difference(evidence.judged(), rollout.plan.alpha)
    challenger, control = figures(evidence.of(True)), figures(evidence.of(False))
    means = (challenger["mean_reward"], control["mean_reward"])
    return {
        "challenger": challenger,
        "control": control,
        "difference": None if None in means else round(means[0] - means[1], 4),
        "interval": {name: round(bound, 6) for name, bound in asdict(interval).items()},
        "judged_at_step": sum(_judged_since(evidence.of(True), rollout.step_began_at)),
    }


def _judged_since(answers: list[Answer], time: datetime) -> list[bool]:
    return [answer.judged_at is not None and answer.judged_at >= time for answer in answers]


def _harm(rollout: Rollout, evidence: Evidence, numbers: dict[str, Any]) -> tuple[Move, str] | None:
    answers = evidence.of(True)
    if fails_too_often((answer.failed for answer in answers), rollout.plan.max_error_rate):
        allowed = f"{rollout.plan.max_error_rate:.0%}"
        return "rollback", (
            f"{rollout.challenger} fails too often: {numbers['challenger']['failed']} of {len(answers)} answers "
            f"failed, the latest at more than the allowed {allowed}"
        )
    if numbers["interval"]["high"] < 0:
        return "rollback", f"{rollout.challenger} is worse than {rollout.control}: {compare(numbers)}"
    return None


def _waits_for_a_person(rollout: Rollout) -> tuple[Move, str] | None:
    if rollout.state != "held":
        return None
    return "wait", f"held: a person decides. {what_to_do(rollout)}"


def _unplanned_split(rollout: Rollout, evidence: Evidence) -> tuple[Move, str] | None:
    """A share of users that the plan cannot explain.

    Users are counted, as users are what is dealt to the arms. An answer that began before the step's
    weight was known everywhere followed the weight before, so both weights are as planned.
    """
    recent = [answer for answer in evidence.answers if answer.served_at >= rollout.step_began_at]
    users = {
        challenger: {a.user for a in recent if a.challenger == challenger} for challenger in (True, False)
    }
    count, total = len(users[True]), len(users[True]) + len(users[False])
    earlier = rollout.plan.steps[max(rollout.step - 1, 0)]
    if log_evidence(count, total, earlier, rollout.weight) < _RATIO_ALARM:
        return None
    return "hold", (
        f"the challenger got {count} of {total} users at this step and {rollout.weight:.0%} was planned, so the arms "
        f"cannot be compared: look at routing and recording. {what_to_do(rollout)}"
    )


def _progress(rollout: Rollout, numbers: dict[str, Any]) -> tuple[Move, str]:
    plan, judged, control = rollout.plan, numbers["judged_at_step"], numbers["control"]["judged"]
    if judged < plan.min_requests or control < plan.min_requests:
        return "wait", (
            f"{judged} of {plan.min_requests} answers of the challenger were judged at this step, and {control} of "
            f"{plan.min_requests} of {rollout.control}"
        )
    last = rollout.step + 1 == len(plan.steps)
    if last and numbers["interval"]["low"] > -plan.margin:
        return "promote", f"{rollout.challenger} is no worse than {rollout.control}: {compare(numbers)}"
    if not last and numbers["difference"] > -plan.margin:
        share = f"{plan.steps[rollout.step + 1]:.0%}"
        return "step", f"no sign of harm, so {rollout.challenger} takes {share}: {compare(numbers)}"
    if judged >= plan.max_requests:
        return "hold", (
            f"undecided after {judged} judged answers at this step: {compare(numbers)}. {what_to_do(rollout)}"
        )
    return "wait", f"undecided: {compare(numbers)}; a loss of {plan.margin:g} is not yet ruled out"


def compare(numbers: dict[str, Any]) -> str:
    """The arms' mean rewards side by side, in words."""
    challenger, control, bounds = numbers["challenger"], numbers["control"], numbers["interval"]
    if numbers["difference"] is None:
        return "not both arms were judged yet"
    return (
        f"mean reward {challenger['mean_reward']:.3f} of {challenger['judged']} judged answers against "
        f"{control['mean_reward']:.3f} of {control['judged']}, a difference of {numbers['difference']:+.3f} "
        f"(between {bounds['low']:+.3f} and {bounds['high']:+.3f})"
    )


def what_to_do(rollout: Rollout) -> str:
    """How a person answers a held rollout."""
    return (
        f"`ft-assets rollback {rollout.model}` ends it; materializing {rollout.model}/deployment for "
        f"{rollout.candidate} again lets it go on"
    )
