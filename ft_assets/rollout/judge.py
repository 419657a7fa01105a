"""What the evidence calls for: wait, move up, promote, roll back, or ask a person. Pure: it changes nothing."""

import math
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from ft_assets.rollout.evidence import Evidence, figures
from ft_assets.rollout.means import shown_means
from ft_assets.rollout.rollout import Rollout
from ft_assets.rollout.sample_ratio import log_evidence
from ft_assets.rollout.sequential import difference
from ft_assets.rollout.signals import REWARD, SIGNALS, Signal, matches
from ft_assets.rollout.weighing import doubtful, failing_at, harm_at, weigh_signal

Move = Literal["wait", "step", "promote", "rollback", "hold", "pause", "resume", "abort"]

_RATIO_ALARM = math.log(1e4)
"""A split that is as planned is called wrong in at most one of 10,000 steps."""
_SETTLES = 5.0
"""Seconds until every replica has heard of the first users' share."""
_ENDS = 180.0
"""Seconds after which an answer has ended, so its row is there. Of those that began later the slower arm lacks more."""


@dataclass(frozen=True)
class Verdict:
    """One look at a rollout: the move, why, and the numbers behind it.

    `figures` holds both arms' numbers, the difference of mean rewards (challenger - control) with the bounds
    `low` and `high`, `judged_at_step`, the challenger's answers to users judged since the step began, the `pairs` of
    the shadow step and `pairs_at_step`, those since it began, and `signals`, each as `weigh_signal` has it.
    """

    rollout: str
    candidate: str
    challenger: str
    move: Move
    reason: str
    figures: dict[str, Any]


def judge(rollout: Rollout, evidence: Evidence, now: datetime) -> Verdict:
    """Look at the evidence so far. Harm is looked for first; a held or paused rollout can only be rolled back."""
    numbers = weigh(rollout, evidence)
    move, reason = (
        harm(rollout, evidence, numbers)
        or _waits_for_a_person(rollout)
        or _overdue(rollout, now)
        or _unplanned_split(rollout, evidence, now)
        or _progress(rollout, numbers, now)
    )
    return Verdict(rollout.id, rollout.candidate, rollout.challenger, move, reason, numbers)


def weigh(rollout: Rollout, evidence: Evidence) -> dict[str, Any]:
    """The figures of a verdict."""
    reward = SIGNALS[0]
    found = matches(reward, reward.read(evidence)).means
    interval = difference(found[:, 1] - found[:, 0], rollout.plan.alpha, rollout.plan.margin)
    shown = evidence.shadow if rollout.is_shadow else evidence.live
    challenger, control = (figures(shown.take(shown.challenger == side)) for side in (True, False))
    means = (challenger["mean_reward"], control["mean_reward"])
    users, mirrored = (answers.take(answers.challenger) for answers in (evidence.live, evidence.shadow))
    began = rollout.step_began_at.timestamp()
    return {
        "challenger": challenger,
        "control": control,
        "difference": None if None in means else round(means[0] - means[1], 4),
        "interval": {name: round(bound, 6) for name, bound in asdict(interval).items()},
        "judged_at_step": int((users.judged_at >= began).sum()),
        "pairs": evidence.pairs,
        "pairs_at_step": int((mirrored.served_at >= began).sum()),
        "signals": {signal.name: weigh_signal(signal, evidence, rollout.plan) for signal in SIGNALS},
    }


def harm(rollout: Rollout, evidence: Evidence, numbers: dict[str, Any]) -> tuple[Move, str] | None:
    """A rollback and its reason, where it is proven that the challenger is worse in any way."""
    answers = evidence.of(True).ended
    if failing_at(evidence, rollout.plan) is not None:
        allowed = f"{rollout.plan.max_error_rate:.0%}"
        return "rollback", (
            f"{rollout.challenger} fails too often: {int(answers.failed.sum())} of {len(answers)} answers "
            f"failed, at some time more than the allowed {allowed}"
        )
    for signal in SIGNALS:
        if harm_at(signal, evidence, rollout.plan) is not None:
            said = compare(numbers) if signal.name == REWARD else describe(signal, numbers)
            return "rollback", f"{rollout.challenger} is worse than {rollout.control}: {said}"
    return None


def _waits_for_a_person(rollout: Rollout) -> tuple[Move, str] | None:
    if rollout.state not in ("held", "paused"):
        return None
    return "wait", f"{rollout.state}: a person decides. {what_to_do(rollout)}"


def _overdue(rollout: Rollout, now: datetime) -> tuple[Move, str] | None:
    hours = rollout.plan.max_hours
    if hours is None or now - rollout.asked_at < timedelta(hours=hours):
        return None
    return "hold", f"not decided within {hours:g} hours. {what_to_do(rollout)}"


def _unplanned_split(rollout: Rollout, evidence: Evidence, now: datetime) -> tuple[Move, str] | None:
    """A share of users that the plan cannot explain.

    Users are counted, as users are what is dealt to the arms. An answer that began before the step's
    weight was known everywhere followed the weight before, so both weights are as planned. After a shadow that
    would explain even that nobody gets the challenger, so the first seconds are left out instead.
    """
    if rollout.is_shadow:
        return None
    before = rollout.plan.shares[max(rollout.step - 1, 0)]
    since = rollout.step_began_at.timestamp() + (0.0 if before else _SETTLES)
    live = evidence.live
    recent = live.take((live.served_at >= since) & (live.served_at <= now.timestamp() - _ENDS))
    users = [set(recent.user[recent.challenger == side]) for side in (True, False)]
    count, total = len(users[0]), len(users[0]) + len(users[1])
    if log_evidence(count, total, before or rollout.weight, rollout.weight) < _RATIO_ALARM:
        return None
    return "hold", (
        f"the challenger got {count} of {total} users at this step and {rollout.weight:.0%} was planned, so the arms "
        f"cannot be compared: look at routing and recording. {what_to_do(rollout)}"
    )


def _progress(rollout: Rollout, numbers: dict[str, Any], now: datetime) -> tuple[Move, str]:
    plan = rollout.plan
    lacking = _too_few(rollout, numbers)
    if lacking is not None:
        return "wait", lacking
    if plan.min_minutes and now - rollout.step_began_at < timedelta(minutes=plan.min_minutes):
        return "wait", f"enough answers, but a step takes {plan.min_minutes:g} minutes at least"
    doubts = [describe(signal, numbers) for signal in SIGNALS if _doubted(signal, rollout, numbers)]
    last = rollout.step + 1 == len(plan.shares)
    said = _seen(rollout, numbers)
    if not doubts and last and numbers["interval"]["low"] > -plan.margin:
        return "promote", f"{rollout.challenger} is no worse than {rollout.control}: {said}"
    if not doubts and not last and (rollout.is_shadow or numbers["difference"] > -plan.margin):
        share = f"{plan.shares[rollout.step + 1]:.0%}"
        return "step", f"no sign of harm, so {rollout.challenger} takes {share}: {said}"
    doubt = "; ".join([said, *doubts])
    count = _count(rollout, numbers)
    if count >= plan.max_requests:
        return "hold", f"undecided after {count} answers at this step: {doubt}. {what_to_do(rollout)}"
    return "wait", f"undecided: {doubt}; a loss of {plan.margin:g} is not yet ruled out"


def _too_few(rollout: Rollout, numbers: dict[str, Any]) -> str | None:
    """What a step still lacks; a shadow step counts pairs, any other the judged answers of both arms."""
    if rollout.is_shadow and rollout.plan.shadow is not None:
        needed = rollout.plan.shadow.min_requests
        if numbers["pairs"] >= needed:
            return None
        return f"{numbers['pairs']} of {needed} requests were answered by both arms"
    needed, judged, control = (
        rollout.plan.min_requests,
        numbers["judged_at_step"],
        numbers["control"]["judged"],
    )
    if judged >= needed and control >= needed:
        return None
    return (
        f"{judged} of {needed} answers of the challenger were judged at this step, and {control} of "
        f"{needed} of {rollout.control}"
    )


def _count(rollout: Rollout, numbers: dict[str, Any]) -> int:
    return numbers["pairs_at_step" if rollout.is_shadow else "judged_at_step"]


def _doubted(signal: Signal, rollout: Rollout, numbers: dict[str, Any]) -> bool:
    # The reward has its own rule: its plain means are compared.
    return signal.name != REWARD and doubtful(signal, numbers["signals"][signal.name], rollout.plan)


def _seen(rollout: Rollout, numbers: dict[str, Any]) -> str:
    return f"{numbers['pairs']} mirrored requests" if rollout.is_shadow else compare(numbers)


def describe(signal: Signal, numbers: dict[str, Any]) -> str:
    """One signal of both arms side by side, in words."""
    found = numbers["signals"][signal.name]
    challenger, control = shown_means(found)
    return (
        f"{signal.name} {challenger} against {control}, a {found['measure']} between "
        f"{found['low']:.3f} and {found['high']:.3f}"
    )


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
    """How a person answers a held or paused rollout."""
    return (
        f"`ft-assets rollout {rollout.model}` shows it, with `--approve` it takes the next step, with `--resume` it "
        f"goes on; `ft-assets rollback {rollout.model}` ends it"
    )
