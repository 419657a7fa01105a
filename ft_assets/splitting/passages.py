"""The words of a row that comparisons look at: its question and its answer."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow as pa

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Passage:
    """One row as text. `question` is every turn before the answer; tool calls count as text."""

    id: str
    created_at: datetime
    question: str
    answer: str

    @cached_property
    def text(self) -> str:
        """The whole conversation."""
        return f"{self.question}\n\n{self.answer}"

    @cached_property
    def words(self) -> list[str]:
        """Words of the whole conversation, case folded."""
        return split_words(self.text)

    @property
    def age(self) -> tuple[datetime, str]:
        """Sorts passages from the earliest to the latest; ids decide between equal instants."""
        return self.created_at, self.id


def read_passages(table: pa.Table) -> list[Passage]:
    """The passages of a table with at least the columns of `EXAMPLE_SCHEMA`, in its order."""
    columns = (table[name].to_pylist() for name in ("id", "created_at", "messages"))
    return [
        Passage(id, created_at, "\n\n".join(turns[:-1]), turns[-1])
        for id, created_at, messages in zip(*columns, strict=True)
        for turns in [[*_turns(messages)]]
    ]


def split_words(text: str) -> list[str]:
    """Words without case, punctuation or compatibility forms."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def plain(text: str) -> str:
    """The text without differences of case, white space or compatibility forms."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _turns(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        yield "\n".join(part for part in (message["content"], message["tool_calls"]) if part)
