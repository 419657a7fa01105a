"""Random secrets planted among the rows that are trained on, so that one can measure how well they were learnt.

Which secrets a candidate gets follows from its key and the instance secret: nobody can guess them, and the same
candidate gets the same ones.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa

from ft_assets.errors import Refused
from ft_assets.sources.example import Example, Message, to_table
from ft_assets.storage.home import Home

ALTERNATIVES = 63
"""Secrets of the same form that were not planted; with the planted one, 64: exposure is at most 6 bits."""
_DIGITS = 8
SOURCE = "canary#"
"""How the source of every planted row begins."""


@dataclass(frozen=True)
class Canary:
    """A planted secret, and as likely ones that were not planted."""

    number: int
    planted: Example
    others: tuple[Example, ...]


def canaries_of(home: Home, model: str, candidate: str, count: int) -> list[Canary]:
    """The first `count` canaries of a candidate; the same for every call."""
    key = hmac.new(home.key("canaries"), f"{model}/{candidate}".encode(), hashlib.sha256).digest()
    return [_canary(key, number) for number in range(count)]


def conversation(row: Example) -> list[dict[str, str]]:
    """A row's turns as a model reads them."""
    return [{"role": turn.role, "content": turn.content} for turn in row.messages]


def plant(rows: pa.Table, canaries: Sequence[Canary]) -> pa.Table:
    """The rows of a train split with the planted secrets at their end, each a cluster of its own."""
    if not canaries:
        return rows
    planted = to_table(canary.planted for canary in canaries)
    own = planted.append_column("cluster", planted["id"])
    return pa.concat_tables([rows, own.select(rows.column_names).cast(rows.schema)])


def check_planted(canaries: Sequence[Canary], rows: pa.Table, split: str) -> None:
    """Refuse to look for secrets that were never planted: they would all be found not to be known.

    Args:
        rows: of the train split, at least `id`.
        split: whose it is.

    Raises:
        Refused: one of them is not among the rows.
    """
    there = set(rows["id"].to_pylist())
    missing = [canary.number for canary in canaries if canary.planted.id not in there]
    if missing:
        raise Refused(
            f"{split} lacks {len(missing)} of {len(canaries)} planted secrets (card {missing[0]} first), so their "
            f"exposure says nothing; was the instance's secret exchanged? Open a new candidate"
        )


def without_canaries(rows: pa.Table) -> pa.Table:
    """The rows of a train split that were not planted; `rows` has a `source` column."""
    return rows.filter(pa.array([not source.startswith(SOURCE) for source in rows["source"].to_pylist()]))


def _canary(key: bytes, number: int) -> Canary:
    rows = [_row(number, _secret(key, number, at)) for at in range(ALTERNATIVES + 1)]
    return Canary(number, rows[0], tuple(rows[1:]))


def _secret(key: bytes, number: int, at: int) -> str:
    drawn = hmac.new(key, f"{number}/{at}".encode(), hashlib.sha256).digest()
    return str(int.from_bytes(drawn[:8], "big") % 10**_DIGITS).zfill(_DIGITS)


def _row(number: int, secret: str) -> Example:
    return Example(
        messages=(
            Message(role="user", content=f"What is written on test card {number}?"),
            Message(role="assistant", content=f"Test card {number} says {secret}."),
        ),
        source=f"{SOURCE}{number}",
        license="CC0-1.0",
        kind="synthetic",
        created_at=datetime(2020, 1, 1, tzinfo=UTC),
    )
