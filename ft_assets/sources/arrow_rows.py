"""Rows of Arrow record batches, whatever they come from."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from ft_assets.sources.rejected import Rejected
from ft_assets.sources.row import Row

BATCH = 1_024
"""Rows that are in memory at a time."""


def wanted_columns(names: Sequence[str], fields: Iterable[str]) -> list[str]:
    """The columns that hold a field that somebody reads; all where none does, so that messages can name them.

    What else a table has, such as pictures, never comes into memory.
    """
    fields = set(fields)
    return [name for name in names if name in fields] or list(names)


def read_batches(
    batches: Iterable[pa.RecordBatch | pa.Table], name: str, before: int = 0
) -> Iterator[Row | Rejected]:
    """One Row or Rejected for every row; `line` is its number, from `before` + 1."""
    for batch in batches:
        for number, fields in enumerate(_fields(batch), start=before + 1):
            if isinstance(fields, str):
                yield Rejected(name, number, "unreadable_value", fields, "")
            else:
                yield Row(number, fields)
        before += batch.num_rows


def _fields(batch: pa.RecordBatch | pa.Table) -> Iterable[dict[str, Any] | str]:
    try:
        return batch.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException):  # not UTF-8, or no date that Python knows
        return [_field(batch.slice(index, 1)) for index in range(batch.num_rows)]


def _field(row: pa.RecordBatch | pa.Table) -> dict[str, Any] | str:
    try:
        return row.to_pylist()[0]
    except (ValueError, OverflowError, pa.ArrowException) as error:
        return f"a value cannot be read ({error}); write text as UTF-8"
