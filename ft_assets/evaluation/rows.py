"""The eval rows that are measured: the same ones every time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True)
class EvalRow:
    """One held-out conversation; the last turn is the reference."""

    id: str
    slice: str
    cluster: str
    turns: tuple[dict[str, Any], ...]

    @property
    def prompt(self) -> str:
        """Every turn before the reference, joined by blank lines."""
        return "\n\n".join(turn["content"] for turn in self.turns[:-1])

    @property
    def reference(self) -> str:
        return self.turns[-1]["content"]

    @property
    def size(self) -> int:
        """Characters, as a measure of length."""
        return sum(len(turn["content"]) for turn in self.turns)


def read_eval_rows(folder: Path, most: int) -> list[EvalRow]:
    """The first `most` rows of an eval split, by id."""
    table = pq.read_table(folder / "rows.parquet", columns=["id", "slice", "cluster", "messages"])
    return [_row(fields) for fields in _first(table, most).to_pylist()]


def in_batches(rows: Sequence[EvalRow], size: int) -> list[list[EvalRow]]:
    """Rows of like length together, as padding is read too; the longest first, so that memory runs out early."""
    ordered = sorted(rows, key=lambda row: (-row.size, row.id))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _first(table: pa.Table, most: int) -> pa.Table:
    return table.sort_by("id").slice(0, most)


def _row(fields: dict[str, Any]) -> EvalRow:
    turns = tuple(
        {name: value for name, value in turn.items() if value is not None} for turn in fields["messages"]
    )
    return EvalRow(fields["id"], fields["slice"], fields["cluster"], turns)
