"""The figures of the live view: each model's arms, rollout, signals, recent answers and ledger. Reads, never writes."""

from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa

from ft_assets.registry.ledger import Entry
from ft_assets.registry.routing import Route
from ft_assets.rollout.course import course, limit
from ft_assets.rollout.evidence import Evidence, read_evidence
from ft_assets.rollout.judge import judge, weigh
from ft_assets.rollout.rollout import Rollout, rollouts_of
from ft_assets.rollout.signals import SIGNALS, Signal
from ft_assets.rollout.weighing import harm_at
from ft_assets.serving.live_answers import recent_pairs
from ft_assets.serving.routes import Picture
from ft_assets.storage.home import Home
from ft_assets.storage.tables import promotion_ledger

Outcome = Literal["harm", "ruled out", "open", "unwatched"]
_ENTRIES = 10


def live_figures(home: Home, picture: Picture) -> dict[str, Any]:
    """Everything that the page shows, as JSON values.

    Args:
        home: whose database is read.
        picture: the routing that this server follows at this moment.
    """
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "models": [_model(home, name, served.route) for name, served in picture.models.items()],
    }


def _model(home: Home, name: str, present: Route) -> dict[str, Any]:
    held = rollouts_of(home, name)
    return {
        "model": name,
        "champion": present.champion.address,
        "challenger": present.challenger.address if present.challenger else None,
        "weight": present.weight,
        "rollout": _rollout(home, held[-1]) if held else None,
        "ledger": [_entry(entry) for entry in _latest(home, name)],
    }


def _rollout(home: Home, rollout: Rollout) -> dict[str, Any]:
    """The latest rollout; while it is open, with what the judge's next look would do."""
    evidence = read_evidence(home, rollout)
    found = weigh(rollout, evidence)
    return {
        "id": rollout.id,
        "challenger": rollout.challenger,
        "control": rollout.control,
        "state": rollout.state,
        "open": rollout.is_open,
        "step": rollout.step,
        "shares": rollout.plan.shares,
        "started_at": rollout.started_at.isoformat(timespec="seconds"),
        **_next(rollout, evidence),
        "arms": {side: found[side] for side in ("challenger", "control")},
        "pairs": evidence.pairs,
        "signals": {
            signal.name: _signal(signal, evidence, rollout, found["signals"][signal.name])
            for signal in SIGNALS
        },
        "answers": recent_pairs(home, rollout),
    }


def _next(rollout: Rollout, evidence: Evidence) -> dict[str, Any]:
    """The next move and its reason. Nothing moves an ended one any more: the ledger says what ended it."""
    if not rollout.is_open:
        return {"next": None, "reason": None}
    verdict = judge(rollout, evidence, datetime.now(UTC))
    return {"next": verdict.move, "reason": verdict.reason}


def _signal(signal: Signal, evidence: Evidence, rollout: Rollout, weighed: dict[str, Any]) -> dict[str, Any]:
    """What the judge has of one signal, its course, and the outcome so far.

    `limit` is the margin in the units of the course. `outcome`: `harm` is proven; harm beyond the margin is `ruled
    out`; `open`; or `unwatched`.
    """
    edge = limit(signal, rollout.plan)
    return {
        **weighed,
        "limit": edge,
        "outcome": _outcome(weighed, edge, harmed=harm_at(signal, evidence, rollout.plan) is not None),
        "course": course(signal, evidence, rollout.plan),
    }


def _outcome(weighed: dict[str, Any], edge: float | None, harmed: bool) -> Outcome:
    if edge is None:
        return "unwatched"
    if harmed:
        return "harm"
    within = weighed["low"] > edge if weighed["better"] == "more" else weighed["high"] < edge
    return "ruled out" if within else "open"


def _latest(home: Home, model: str) -> list[Entry]:
    """The last entries, newest first."""
    query = sa.select(promotion_ledger).where(promotion_ledger.c.model == model)
    rows = home.database.rows(query.order_by(promotion_ledger.c.seq.desc()).limit(_ENTRIES))
    return [Entry(**row) for row in rows]


def _entry(entry: Entry) -> dict[str, Any]:
    names = ("seq", "action", "address", "champion", "by", "reason", "weight")
    told = {name: getattr(entry, name) for name in names}
    return {"at": entry.at.isoformat(timespec="seconds"), **told}
