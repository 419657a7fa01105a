"""Deleting adapters that nobody will need, and never one that a rollback would go back to."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from ft_assets.registry.ledger import champion, entries
from ft_assets.registry.routing import route
from ft_assets.storage.candidates import list_candidates
from ft_assets.storage.home import Home
from ft_assets.storage.releases import list_releases
from ft_assets.storage.tables import records

KEEP_CHAMPIONS = 5
"""Champions, the present one among them, whose adapters always stay: what rollbacks can go back to."""


@dataclass(frozen=True)
class Doomed:
    """An adapter that may go: nothing serves it, nothing recent made it, and no rollback needs it."""

    model: str
    candidate: str
    digest: str
    made_at: datetime


def prunable(home: Home, days: int, keep_champions: int = KEEP_CHAMPIONS) -> list[Doomed]:
    """Adapters made more than `days` days ago that are neither in traffic nor among the latest champions.

    A released adapter that is deleted can still be rebuilt from its record (`ft-assets reproduce`).
    """
    kept = {digest for model in _models(home) for digest in _kept(home, model, keep_champions)}
    before = datetime.now(UTC) - timedelta(days=days)
    found = {
        row.digest: row
        for row in _adapters(home)
        if row.digest not in kept and home.artifacts.exists("adapters", row.digest)
    }
    return [row for row in found.values() if row.made_at < before]


def prune(home: Home, days: int, keep_champions: int = KEEP_CHAMPIONS) -> list[Doomed]:
    """Delete what is `prunable`, each adapter in one step, and return what went."""
    gone = prunable(home, days, keep_champions)
    for row in gone:
        home.artifacts.remove("adapters", row.digest)
    return gone


def _kept(home: Home, model: str, champions: int) -> set[str]:
    """Digests of what serves, what is on trial, and the latest champions."""
    line = [champion(home, model)]
    for entry in reversed(entries(home, model)):
        if entry.champion not in line:
            line.append(entry.champion)
    now = route(home, model)
    kept = {arm.address for arm in (now.champion, now.challenger) if arm} | set(line[:champions])
    releases = [release for release in list_releases(home, model) if release.address in kept]
    # An aligned adapter is proven by the one that it started from.
    started_from = {
        release.lineage["sft_adapter"] for release in releases if "sft_adapter" in release.lineage
    }
    return {release.adapter_digest for release in releases} | started_from


def _models(home: Home) -> set[str]:
    return {candidate.model for candidate in list_candidates(home)}


def _adapters(home: Home) -> Iterator[Doomed]:
    """Every adapter ever recorded, oldest first, so that of one made twice the latest time counts."""
    query = sa.select(records).where(records.c.kind == "adapters").order_by(records.c.seq)
    for row in home.database.rows(query):
        yield Doomed(row["model"], row["partition"], row["digest"], row["recorded_at"])
