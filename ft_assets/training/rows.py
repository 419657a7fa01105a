"""Dataset rows as token ids."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from jinja2 import TemplateError

from ft_assets.curation.chat import encode_example
from ft_assets.errors import WrongInput
from ft_assets.sources.example import Example, from_table


@dataclass(frozen=True)
class Row:
    """One conversation: token ids, which of them are the answer to learn, and how much that counts."""

    ids: list[int]
    answer: list[bool]
    weight: float = 1.0


def longest_row(base: Path, max_tokens: int) -> int:
    """Tokens that a row may have: `max_tokens`, or the context of the base in this folder where that is shorter."""
    config = json.loads((base / "config.json").read_text())
    return min(max_tokens, int(config.get("max_position_embeddings", max_tokens)))


def read_rows(tokenizer: Any, folder: Path, max_tokens: int) -> tuple[list[Row], int]:
    """Rows of a split's `rows.parquet` in file order, and how many were left out for their length.

    Answers that people disliked are not among them: they are no examples to imitate.

    Raises:
        WrongInput: the base's chat template cannot teach a row, or refuses it.
    """
    examples = from_table(pq.read_table(folder / "rows.parquet"))
    liked = (example for example in examples if example.desirable is not False)
    rows = [_encode(tokenizer, example) for example in liked]
    short = [row for row in rows if len(row.ids) <= max_tokens]
    return short, len(rows) - len(short)


def _encode(tokenizer: Any, example: Example) -> Row:
    try:
        return Row(*encode_example(tokenizer, example.messages), example.weight or 1.0)
    except (TemplateError, ValueError) as error:  # the latter where there is no template
        where = example.source if example.line is None else f"{example.source}, line {example.line},"
        raise WrongInput(
            f"the base's chat template refuses a row of {where} ({error}); leave such rows out, or choose another base"
        ) from error
