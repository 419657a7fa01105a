"""Moves a rollout by its evidence. All state is in the database, so any process may take the next step."""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from ft_assets.errors import FtAssetsError
from ft_assets.registry.ledger import Action, append
from ft_assets.rollout.evidence import read_evidence
from ft_assets.rollout.judge import Verdict, judge
from ft_assets.rollout.rollout import CONTROLLER, Rollout, open_rollout
from ft_assets.storage.home import Home
from ft_assets.storage.releases import find_release
from ft_assets.storage.tables import rollouts


def step(home: Home, model: str) -> Verdict | None:
    """Look at the open rollout of a model, and make the move that its evidence calls for.

    Returns the verdict, or None where no rollout is open or someone else moved it during the look: then
    nothing was changed, and the next look sees what they did.
    """
    rollout = open_rollout(home, model)
    if rollout is None:
        return None
    verdict = judge(rollout, read_evidence(home, rollout), datetime.now(UTC))
    if verdict.move == "promote":
        verdict = prove_bytes(home, verdict)
    if verdict.move == "wait" and asdict(verdict) == rollout.verdict:
        return verdict  # nothing new to write down
    return verdict if make(home, rollout, verdict) else None


def prove_bytes(home: Home, verdict: Verdict) -> Verdict:
    """The same verdict, or a rollback if the adapter is no longer what its gate judged."""
    try:
        home.artifacts.path("adapters", find_release(home, verdict.challenger).adapter_digest)
    except FtAssetsError as error:
        return replace(verdict, move="rollback", reason=f"not promoted: {error}")
    return verdict


def make(
    home: Home, rollout: Rollout, verdict: Verdict, by: str = CONTROLLER, run: str | None = None
) -> bool:
    """Write the move and its ledger entry in one transaction; False if the rollout moved since it was read."""
    after, action = _after(rollout, verdict)
    unmoved = sa.and_(
        rollouts.c.id == rollout.id, rollouts.c.state == rollout.state, rollouts.c.step == rollout.step
    )
    with home.database.write() as connection:
        change = sa.update(rollouts).where(unmoved).values(**after, verdict=asdict(verdict))
        if connection.execute(change).rowcount != 1:
            return False
        if action is not None:
            champion = rollout.challenger if action == "promote" else rollout.control
            details = {"rollout": rollout.id, "step": rollout.step, "weight": rollout.weight}
            details |= {name: after[name] for name in ("step", "weight") if name in after}
            details |= {"figures": verdict.figures, "run": run}
            append(
                connection,
                rollout.model,
                action,
                address=rollout.challenger,
                champion=champion,
                by=by,
                reason=verdict.reason,
                details=details,
            )
    return True


def _after(rollout: Rollout, verdict: Verdict) -> tuple[dict[str, Any], Action | None]:
    """The columns that a move changes, and its name in the ledger."""
    now = {"updated_at": datetime.now(UTC)}
    match verdict.move:
        case "step":
            step = rollout.step + 1
            return {**now, "state": "running", "step": step, "weight": rollout.plan.shares[step]}, "step"
        case "promote":
            return {**now, "state": "promoted", "weight": 1.0}, "promote"
        case "rollback":
            return {**now, "state": "rolled_back", "weight": 0.0}, "rollback"
        case "hold":
            return {**now, "state": "held"}, "hold"
        case "pause":
            return {**now, "state": "paused"}, "pause"
        case "resume":  # what was held goes on with new counts, else the old ones would hold it at once
            return {**now, "state": "running"}, "step" if rollout.state == "held" else "resume"
        case "abort":
            return {**now, "state": "aborted", "weight": 0.0}, "abort"
        case _:
            return now, None
