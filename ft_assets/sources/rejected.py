"""A row that is not used: where it was, why, and what it said."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

REJECTED_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("line", pa.int64()),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
    ]
)
"""Arrow form of a rejected row."""

_SHOWN = 2_000  # characters: enough to know a row by


@dataclass(frozen=True)
class Rejected:
    """One row that was left out.

    Attributes:
        source: file, dataset or function that it is from.
        line: line of a text file, or row of a table, from 1.
        reason: a code, the same for every row with this fault.
        detail: in words: field, what is wrong, what to write instead.
        row: the row as JSON where it could be read as such, else the start of its text.
    """

    source: str
    line: int | None
    reason: str
    detail: str
    row: str


def rejected_table(rows: Iterable[Rejected]) -> pa.Table:
    """Arrow table of `REJECTED_SCHEMA`, in the order given."""
    return pa.Table.from_pylist([vars(row) for row in rows], schema=REJECTED_SCHEMA)


def start_of(row: bytes | str | dict[str, Any]) -> str:
    """The first 2,000 characters of a row as it was, for `Rejected.row`; what UTF-8 cannot say becomes `?`."""
    if isinstance(row, bytes):
        return row[: 4 * _SHOWN].decode(errors="replace")[:_SHOWN]
    if isinstance(row, dict):
        row = _as_json(row)
    return row[:_SHOWN].encode(errors="replace").decode()


def _as_json(fields: dict[str, Any]) -> str:
    try:
        return json.dumps(fields, ensure_ascii=False, default=str)
    except (TypeError, ValueError, RecursionError):
        return repr(list(fields))
