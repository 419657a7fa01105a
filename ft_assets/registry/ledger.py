"""The promotion ledger: append-only, and the only place that says who is champion.

Each entry carries the champion after it, so "what served at time T" is the last entry up to T. Triggers
in the database refuse changes to written entries.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa

from ft_assets.storage.home import Home
from ft_assets.storage.tables import promotion_ledger

Action = Literal["canary", "step", "hold", "pause", "resume", "promote", "rollback", "abort"]

_CANARY: tuple[Action, ...] = ("canary", "step", "hold", "pause", "resume")
"""Actions after which a challenger is on trial."""

BASE = "base"
"""What serves while nothing was promoted: the base model, without an adapter."""


@dataclass(frozen=True)
class Entry:
    """One line of the ledger. `champion` is the address (or `base`) that serves after it."""

    seq: int
    model: str
    action: Action
    address: str
    champion: str
    by: str
    reason: str
    details: dict[str, Any]
    at: datetime

    @property
    def on_trial(self) -> bool:
        """Whether after it `address` is a challenger, be it one that only shadows the champion."""
        return self.action in _CANARY

    @property
    def weight(self) -> float:
        """The challenger's share of users after it, from 0 to 1; the challenger is `address`."""
        return self.details["weight"] if self.on_trial else 0.0


def append(
    connection: sa.Connection,
    model: str,
    action: Action,
    address: str,
    champion: str,
    by: str,
    reason: str,
    details: Mapping[str, Any],
) -> datetime:
    """Write one entry within the caller's transaction, and return its time.

    Times never run backwards, whatever the clock does: else "the last entry up to T" would be ambiguous.
    """
    table = promotion_ledger
    latest = connection.scalar(sa.select(sa.func.max(table.c.at)).where(table.c.model == model))
    now = datetime.now(UTC)
    at = now if latest is None else max(now, latest)
    row = {"action": action, "address": address, "champion": champion, "by": by, "reason": reason}
    connection.execute(sa.insert(table).values(model=model, details=dict(details), at=at, **row))
    return at


def entries(home: Home, model: str | None = None) -> list[Entry]:
    """Every entry of a model, or of all models, oldest first."""
    query = sa.select(promotion_ledger).order_by(promotion_ledger.c.seq)
    if model is not None:
        query = query.where(promotion_ledger.c.model == model)
    return [Entry(**row) for row in home.database.rows(query)]


def latest_entry(home: Home, model: str, at: datetime | None = None) -> Entry | None:
    """The last entry of a model up to a time (default: now), or None before its first."""
    table = promotion_ledger
    query = sa.select(table).where(table.c.model == model)
    if at is not None:
        query = query.where(table.c.at <= at)
    row = home.database.row(query.order_by(table.c.seq.desc()).limit(1))
    return None if row is None else Entry(**row)


def champion(home: Home, model: str, at: datetime | None = None) -> str:
    """Address of the champion at a time (default: now), or `base`."""
    entry = latest_entry(home, model, at)
    return BASE if entry is None else entry.champion


def champion_query(model: str) -> sa.ScalarSelect[Any]:
    """The champion now, as a subquery for use inside another statement."""
    table = promotion_ledger
    latest = sa.select(table.c.champion).where(table.c.model == model).order_by(table.c.seq.desc()).limit(1)
    return sa.select(sa.func.coalesce(latest.scalar_subquery(), BASE)).scalar_subquery()
