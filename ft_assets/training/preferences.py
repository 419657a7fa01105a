"""Rows that say what people prefer, as token ids: the second training's data."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow.parquet as pq

from ft_assets.curation.chat import encode_example
from ft_assets.recipe_training import Alignment
from ft_assets.sources.example import Example, Message, from_table

Ids = list[int]


@dataclass(frozen=True)
class Pair:
    """One prompt and two answers. `cluster` is that of the row: near-copies share one."""

    prompt: Ids
    chosen: Ids
    rejected: Ids
    cluster: str

    @property
    def longest(self) -> int:
        """Tokens of the prompt with its longer answer."""
        return len(self.prompt) + max(len(self.chosen), len(self.rejected))

    @property
    def tokens(self) -> int:
        """Tokens of both conversations, the prompt in each."""
        return 2 * len(self.prompt) + len(self.chosen) + len(self.rejected)


@dataclass(frozen=True)
class Judged:
    """One prompt, one answer, and whether it was liked."""

    prompt: Ids
    answer: Ids
    liked: bool

    @property
    def longest(self) -> int:
        """Tokens of the prompt with its answer."""
        return len(self.prompt) + len(self.answer)

    @property
    def tokens(self) -> int:
        """Tokens of the conversation."""
        return self.longest


Kind = TypeVar("Kind", Pair, Judged)


@dataclass(frozen=True)
class Preferences(Generic[Kind]):
    """Rows short enough to learn from, in file order, and how many were not."""

    rows: list[Kind]
    left_out: int


def count_usable(folder: Path, settings: Alignment) -> int:
    """Rows of a split that the method can learn from, whatever their length; no tokenizer is asked."""
    return sum(1 for example, _ in _read(folder) if _usable(example, settings))


def read_pairs(tokenizer: Any, folder: Path, max_tokens: int) -> Preferences[Pair]:
    """Preference rows of a split's `rows.parquet`."""
    pairs = (
        _pair(tokenizer, example, example.rejected, cluster)
        for example, cluster in _read(folder)
        if example.rejected is not None
    )
    return _short(pairs, max_tokens)


def read_judged(tokenizer: Any, folder: Path, max_tokens: int) -> Preferences[Judged]:
    """Rows that were liked or not, and both answers of every preference row: the better was liked, the worse not."""
    judged = (row for example, _ in _read(folder) for row in _judgements(tokenizer, example))
    return _short(judged, max_tokens)


def _read(folder: Path) -> Iterator[tuple[Example, str]]:
    table = pq.read_table(folder / "rows.parquet")
    return zip(from_table(table), table["cluster"].to_pylist(), strict=True)


def _usable(example: Example, settings: Alignment) -> bool:
    return example.rejected is not None or (settings.method == "kto" and example.desirable is not None)


def _judgements(tokenizer: Any, example: Example) -> Iterator[Judged]:
    if example.rejected is not None:
        pair = _pair(tokenizer, example, example.rejected, "")
        yield Judged(pair.prompt, pair.chosen, True)
        yield Judged(pair.prompt, pair.rejected, False)
    elif example.desirable is not None:
        yield Judged(*_split(tokenizer, example.messages), example.desirable)


def _pair(tokenizer: Any, example: Example, rejected: Message, cluster: str) -> Pair:
    prompt, chosen = _split(tokenizer, example.messages)
    return Pair(prompt, chosen, _split(tokenizer, [*example.messages[:-1], rejected])[1], cluster)


def _split(tokenizer: Any, messages: Sequence[Message]) -> tuple[Ids, Ids]:
    """Ids of the prompt and of the answer, as SFT, evaluation and serving encode them."""
    ids, is_answer = encode_example(tokenizer, messages)
    start = is_answer.index(True)
    return ids[:start], ids[start:]


def _short(rows: Iterable[Kind], max_tokens: int) -> Preferences[Kind]:
    found = [*rows]
    short = [row for row in found if row.longest <= max_tokens]
    return Preferences(short, len(found) - len(short))
