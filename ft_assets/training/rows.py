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
    """Rows of a split's `rows.parquet` in file order, and how many were left out for their length.

    Answers that people disliked are not among them: they are no examples to imitate.
    """
    examples = from_table(pq.read_table(folder / "rows.parquet"))
    liked = (example for example in examples if example.desirable is not False)
    rows = [Row(*encode_example(tokenizer, example.messages)) for example in liked]
    short = [row for row in rows if len(row.ids) <= max_tokens]
    return short, len(rows) - len(short)
