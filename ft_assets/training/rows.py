"""Dataset rows as token ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ft_assets.curation.chat import encode_example
from ft_assets.sources.example import from_table


@dataclass(frozen=True)
class Row:
    """One conversation: token ids, and which of them are the answer to learn."""

    ids: list[int]
    answer: list[bool]


def read_rows(tokenizer: Any, folder: Path, max_tokens: int) -> tuple[list[Row], int]:
    """Rows of a split's `rows.parquet` in file order, and how many were left out for their length."""
    examples = from_table(pq.read_table(folder / "rows.parquet"))
    rows = [Row(*encode_example(tokenizer, example.messages)) for example in examples]
    short = [row for row in rows if len(row.ids) <= max_tokens]
    return short, len(rows) - len(short)
