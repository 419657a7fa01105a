"""What a person may decide about an open rollout: approve its next step, pause it, resume it, or abort it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal, get_args

from ft_assets.errors import Refused, WrongInput
from ft_assets.rollout.controller import make, prove_bytes
from ft_assets.rollout.evidence import read_evidence
from ft_assets.rollout.judge import Move, Verdict, judge
from ft_assets.rollout.rollout import Rollout, open_rollout, rollouts_of
from ft_assets.storage.home import Home

Decision = Literal["approve", "pause", "resume", "abort"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)

_FROM = {"pause": ("running",), "resume": ("held", "paused")}
"""States in which a decision changes anything; the others always do."""


def decide(
    home: Home,
    model: str,
    decision: Decision,
    by: str,
    reason: str,
    candidate: str | None = None,
    run: str | None = None,
) -> Rollout:
    """Carry out a person's decision, and write who and why into the ledger. Returns the rollout after it.

    An approved rollout takes its next step, or is promoted at its last, whatever evidence is still lacking; never
    against proof of harm, nor with an adapter whose bytes have changed. A held one that is resumed counts anew.

    Args:
        candidate: only if the open rollout is this candidate's. None: whichever is open.
        run: the Dagster run that carries it out, for the ledger.

    Raises:
        Refused: no rollout is open, it is in no state for this, harm is proven, or someone else moved it meanwhile.
        WrongInput: nobody and nothing is named.
    """
    if not by.strip() or not reason.strip():
        raise WrongInput("a decision names who makes it and why: give `by` and `reason`")
    rollout = open_rollout(home, model)
    if rollout is None:
        raise Refused(
            f"{model} has no open rollout; `ft-assets history {model}` tells how the last one ended"
        )
    if candidate not in (None, rollout.candidate):
        raise Refused(f"the open rollout of {model} is that of {rollout.candidate}, not of {candidate}")
    if rollout.state not in _FROM.get(decision, (rollout.state,)):
        raise Refused(
            f"the rollout of {rollout.challenger} is {rollout.state}, so there is nothing to {decision}"
        )
    seen = judge(rollout, read_evidence(home, rollout), datetime.now(UTC))
    verdict = replace(seen, move=_move(home, rollout, decision, seen), reason=reason)
    if not make(home, rollout, verdict, by, run):
        raise Refused(
            f"{model} was moved by someone else at the same moment; see `ft-assets history {model}`, "
            "and repeat the command if it is still wanted"
        )
    return rollouts_of(home, model, rollout.candidate)[-1]


def _move(home: Home, rollout: Rollout, decision: Decision, seen: Verdict) -> Move:
    if decision != "approve":
        return decision
    if seen.move == "rollback":
        raise Refused(f"not approved, as the next look rolls it back: {seen.reason}")
    approved = replace(seen, move="step" if rollout.step + 1 < len(rollout.plan.shares) else "promote")
    proven = prove_bytes(home, approved)
    if proven.move == "rollback":
        raise Refused(proven.reason)
    return proven.move
