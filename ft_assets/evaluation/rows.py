"""The eval rows that are measured: the same ones until they are worn out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.evaluation.metrics.tool_calls import spell_calls


@dataclass(frozen=True)
class EvalRow:
    """One held-out conversation; the last turn is the reference.

    `prompt` and `reference` are for people and for metrics of text: tool calls are among them, spelt as most chat
    templates do.
    """

    id: str
    slice: str
    cluster: str
    turns: tuple[dict[str, Any], ...]

    @property
    def prompt(self) -> str:
        """Every turn before the reference, joined by blank lines."""
        return "\n\n".join(map(_text, self.turns[:-1]))

    @property
    def reference(self) -> str:
        return _text(self.turns[-1])

    @property
    def tool_calls(self) -> str:
        """The reference's calls, OpenAI's list as JSON; empty where it makes none."""
        return self.turns[-1].get("tool_calls", "")

    @property
    def size(self) -> int:
        """Characters, as a measure of length."""
        return sum(len(_text(turn)) for turn in self.turns)


def read_eval_rows(folder: Path, most: int, epoch: int = 0) -> list[EvalRow]:
    """`most` rows of an eval split, the same ones as long as the epoch is the same.

    Args:
        folder: the split's.
        most: rows.
        epoch: 0 takes the lowest ids; each further one takes others, by a hash of epoch and id, so that rows which
            were used to choose among candidates often enough are put aside.
    """
    table = pq.read_table(folder / "rows.parquet", columns=["id", "slice", "cluster", "messages"])
    places = sorted(range(table.num_rows), key=partial(_turn, table["id"].to_pylist(), epoch))
    chosen = pa.array(sorted(places[:most]), pa.int64())
    return [eval_row(fields) for fields in table.take(chosen).sort_by("id").to_pylist()]


def in_batches(rows: Sequence[EvalRow], size: int) -> list[list[EvalRow]]:
    """Rows of like length together, as padding is read too; the longest first, so that memory runs out early."""
    ordered = sorted(rows, key=lambda row: (-row.size, row.id))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _turn(ids: Sequence[str], epoch: int, place: int) -> str:
    """What a row's turn in an epoch goes by."""
    return hashlib.sha256(f"{epoch} {ids[place]}".encode()).hexdigest() if epoch else ids[place]


def eval_row(fields: dict[str, Any]) -> EvalRow:
    """A row of a split's file (id, slice, cluster, messages)."""
    turns = tuple(
        {name: value for name, value in turn.items() if value is not None} for turn in fields["messages"]
    )
    return EvalRow(fields["id"], fields["slice"], fields["cluster"], turns)


def _text(turn: dict[str, Any]) -> str:
    """What a turn says, and below it what it calls."""
    said = [turn["content"], *spell_calls(turn.get("tool_calls", ""))]
    return "\n".join(said if turn["content"] else said[1:])
