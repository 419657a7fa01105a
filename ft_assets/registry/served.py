"""When an adapter had traffic, from the promotion ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ft_assets.registry.ledger import Entry


@dataclass(frozen=True)
class Span:
    """A stretch of time. `share` of users from 0 (a shadow, unseen) to 1; `until` is None while it lasts."""

    since: datetime
    until: datetime | None
    share: float
    by: str
    reason: str


def spans(ledger: Sequence[Entry], address: str) -> list[Span]:
    """When an address had traffic or shadowed it, and how much, from its model's whole ledger, oldest first."""
    found: list[Span] = []
    ends = [*(entry.at for entry in ledger[1:]), None]
    for entry, until in zip(
        ledger, ends, strict=False
    ):  # without an entry there is no last one to have no end
        share = share_of(entry, address)
        if share is None:
            continue
        if found and (found[-1].until, found[-1].share) == (entry.at, share):
            entry_of = found.pop()
            found.append(Span(entry_of.since, until, share, entry_of.by, entry_of.reason))
        else:
            found.append(Span(entry.at, until, share, entry.by, entry.reason))
    return found


def share_of(entry: Entry, address: str) -> float | None:
    """Share of users that an address has after a ledger entry, from 0 to 1; None where it takes no part."""
    if entry.champion == address:
        return 1.0 - entry.weight
    return entry.weight if entry.on_trial and entry.address == address else None
