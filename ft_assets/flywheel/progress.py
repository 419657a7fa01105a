"""How far a candidate has come, and whether the next one must wait for it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ft_assets.registry.routing import OPEN_STATES
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.home import Home
from ft_assets.storage.tables import receipts, records, rollouts

GIVE_UP_AFTER = timedelta(hours=24)
"""A candidate that has made nothing for this long has failed for good, and blocks the next one no more."""


@dataclass(frozen=True)
class Progress:
    """Where one candidate stands. `ended_at` is None while the next candidate must wait for this one."""

    candidate: str
    ended_at: datetime | None
    sentence: str


def progress_of(home: Home, candidate: Candidate, now: datetime | None = None) -> Progress:
    """Judge by what is recorded: rollout first, then gate receipt, then the last thing it made."""
    key = candidate.key
    rollout = _latest(home, rollouts, rollouts.c.started_at, candidate)
    if rollout is not None and rollout["state"] in OPEN_STATES:
        share = f"with {rollout['weight']:.0%} of the traffic"
        return Progress(key, None, f"candidate {key} is in its rollout ({rollout['state']}, {share})")
    if rollout is not None:
        state = rollout["state"].replace("_", " ")
        return Progress(key, rollout["updated_at"], f"candidate {key} was {state}")
    receipt = _latest(home, receipts, receipts.c.issued_at, candidate)
    if receipt is not None and receipt["verdict"] != "pass":
        return Progress(key, receipt["issued_at"], f"the gate judged candidate {key}: {receipt['verdict']}")
    return _on_its_way(home, candidate, receipt is not None, now or datetime.now(UTC))


def _on_its_way(home: Home, candidate: Candidate, passed: bool, now: datetime) -> Progress:
    key = candidate.key
    asset, at = _last_step(home, candidate)
    missing = "passed its gate but has no rollout" if passed else "has no gate receipt"
    if now - at >= GIVE_UP_AFTER:
        hours = GIVE_UP_AFTER // timedelta(hours=1)
        why = f"candidate {key} {missing} and made nothing for {hours} hours: it is given up"
        return Progress(key, at + GIVE_UP_AFTER, why)
    last = (
        f"its last step was {asset}, {_ago(now - at)} ago" if asset else f"it was opened {_ago(now - at)} ago"
    )
    hint = "if a run of it failed, mend the cause and re-execute that run"
    return Progress(key, None, f"candidate {key} is still on its way: it {missing} yet; {last}; {hint}")


def _last_step(home: Home, candidate: Candidate) -> tuple[str | None, datetime]:
    mine = sa.select(records).where(records.c.model == candidate.model, records.c.partition == candidate.key)
    row = home.database.row(mine.order_by(records.c.seq.desc()).limit(1))
    return (None, candidate.opened_at) if row is None else (row["asset"], row["recorded_at"])


def _latest(home: Home, table: sa.Table, by: sa.Column[Any], candidate: Candidate) -> dict[str, Any] | None:
    mine = sa.select(table).where(table.c.model == candidate.model, table.c.candidate == candidate.key)
    return home.database.row(mine.order_by(by.desc()).limit(1))


def _ago(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
