"""What the split ledger knows: each example's cluster and side, and the words that copies are found by.

Sides are rows of the table `split_ledger`. The words are hashed, in pages: one artifact for each append, named by a
row of `records` that is committed in the same transaction as the sides. So every model that shares a ledger
is compared with every row that any of them ever brought, whether or not its dataset was finished.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import sqlalchemy as sa

from ft_assets.errors import Refused
from ft_assets.splitting.passages import PASSAGE_SCHEMA, Passages, concat
from ft_assets.storage.home import Home
from ft_assets.storage.tables import records, split_ledger

_OWNER = "split-ledger"
"""Stands where records name a model; no model can be called this, as a hyphen is not allowed."""


@dataclass(frozen=True)
class Place:
    """Where an example lies, for ever."""

    cluster: str
    side: str


@dataclass(frozen=True)
class Known:
    """A ledger at one moment. `version` grows with every append."""

    version: int
    places: Mapping[str, Place]
    passages: Passages


def read_ledger(home: Home, ledger: str) -> Known:
    """Everything that a ledger knows.

    Raises:
        Refused: an assigned row's words are lost, or were changed: copies of it could not be found.
    """
    with home.database.write() as connection:  # so that no append falls between the two
        pages = connection.execute(_pages(ledger)).all()
        assigned = connection.execute(sa.select(split_ledger).where(split_ledger.c.ledger == ledger)).all()
    places = {row.example: Place(row.cluster, row.side) for row in assigned}
    passages = concat(_read_page(home, digest) for _, digest in pages)
    if lost := places.keys() - set(passages.ids):
        raise Refused(
            f"split ledger {ledger!r} assigned {len(lost)} rows whose words it no longer has "
            f"(first: {min(lost)}), so copies of them cannot be found; restore the database and the artifacts "
            "from one backup, or name a new ledger in the recipe"
        )
    return Known(pages[-1][0] if pages else 0, places, passages)


def append(home: Home, ledger: str, version: int, passages: Passages, places: Mapping[str, Place]) -> bool:
    """Assign rows that the ledger does not hold, all or none; nothing is ever updated.

    Returns:
        False, and nothing written, if another process appended since `version` was read.
    """
    digest = home.artifacts.write("datasets", lambda folder: _write_page(folder, passages))
    now = datetime.now(UTC)
    page = {"model": _OWNER, "asset": ledger, "partition": digest, "kind": "datasets", "digest": digest}
    rows = [
        {"ledger": ledger, "example": id, "cluster": place.cluster, "side": place.side, "assigned_at": now}
        for id, place in places.items()
    ]
    with home.database.write() as connection:
        latest = connection.scalar(sa.select(sa.func.max(_pages(ledger).subquery().c.seq)))
        if (latest or 0) != version:
            return False
        # The primary key (ledger, example) makes a second assignment of a row an error, never a change.
        connection.execute(sa.insert(split_ledger), rows)
        connection.execute(sa.insert(records).values({**page, "recorded_at": now}))
    return True


def _pages(ledger: str) -> sa.Select:
    mine = sa.and_(records.c.model == _OWNER, records.c.asset == ledger)
    return sa.select(records.c.seq, records.c.digest).where(mine).order_by(records.c.seq)


def _write_page(folder: Path, passages: Passages) -> None:
    pq.write_table(passages.to_arrow(), folder / "passages.parquet")


def _read_page(home: Home, digest: str) -> Passages:
    path = home.artifacts.path("datasets", digest) / "passages.parquet"
    return Passages.from_arrow(pq.read_table(path, schema=PASSAGE_SCHEMA))
