"""What served when, for people: the lines of `ft-assets history` and the answer to "what served at T"."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ft_assets.registry.ledger import BASE, entries, latest_entry
from ft_assets.storage.home import Home


@dataclass(frozen=True)
class Serving:
    """What served at one time. `weight` is the challenger's share of users, from 0 (it only shadows) to 1."""

    champion: str
    challenger: str | None
    weight: float
    since: datetime | None
    by: str | None
    reason: str | None


def history(home: Home, model: str | None = None) -> list[dict[str, Any]]:
    """Every ledger entry of a model, or of all, oldest first; JSON values, times in ISO 8601."""
    return [{**vars(entry), "at": entry.at.isoformat()} for entry in entries(home, model)]


def at(home: Home, model: str, time: datetime | None = None) -> Serving:
    """What served a model at an aware time (default: now), by one query."""
    entry = latest_entry(home, model, time)
    if entry is None:
        return Serving(BASE, None, 0.0, None, None, None)
    return Serving(
        champion=entry.champion,
        challenger=entry.address if entry.on_trial else None,
        weight=entry.weight,
        since=entry.at,
        by=entry.by,
        reason=entry.reason,
    )
