"""A batch of rows as lists: what each turn says, the prompt, the answer; and back.

Filters read columns, not rows: building an `Example` a row would cost more than most of them do.
"""

from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import pyarrow as pa

from ft_assets.sources.example import EXAMPLE_SCHEMA, Message


class Columns:
    """A lazily read view of rows of `EXAMPLE_SCHEMA`. Every list has one item a row, in the order of the rows."""

    def __init__(self, rows: pa.RecordBatch | pa.Table) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return self._rows.num_rows

    def values(self, name: str) -> list[Any]:
        """A column as Python objects, None where there is no value."""
        return self._rows[name].to_pylist()

    @cached_property
    def roles(self) -> list[list[str]]:
        """The role of every turn."""
        return self._turns("role")

    @cached_property
    def contents(self) -> list[list[str]]:
        """What every turn says."""
        return self._turns("content")

    @cached_property
    def tool_calls(self) -> list[list[str | None]]:
        """The tool calls of every turn as JSON text, None where it calls none."""
        return self._turns("tool_calls")

    @cached_property
    def spoken(self) -> list[list[str]]:
        """What every turn says, its tool calls as text after it."""
        pairs = zip(self.contents, self.tool_calls, strict=True)
        return [list(map(spoken, contents, calls)) for contents, calls in pairs]

    @cached_property
    def conversations(self) -> list[tuple[Message, ...]]:
        """All turns as messages."""
        columns = zip(self.roles, self.contents, self.tool_calls, strict=True)
        return [tuple(map(_message, *row)) for row in columns]

    @cached_property
    def prompts(self) -> list[str]:
        """Every turn before the answer, joined by blank lines."""
        return ["\n\n".join(turns[:-1]) for turns in self.contents]

    @cached_property
    def answers(self) -> list[str]:
        """The last turn; empty where it only calls tools."""
        return [turns[-1] for turns in self.contents]

    @cached_property
    def only_calls(self) -> list[bool]:
        """Whether the answer calls tools and says nothing."""
        calls = (turns[-1] for turns in self.tool_calls)
        return [bool(call) and not answer for answer, call in zip(self.answers, calls, strict=True)]

    @cached_property
    def imitated(self) -> list[bool]:
        """Whether the model is to say what the answer says: it says something, and was not disliked."""
        return [
            not silent and liked is not False
            for silent, liked in zip(self.only_calls, self.desirable, strict=True)
        ]

    @cached_property
    def rejected(self) -> list[Message | None]:
        """The worse answer of a preference row, None elsewhere."""
        return [turn and Message(**turn) for turn in self.values("rejected")]

    @cached_property
    def desirable(self) -> list[bool | None]:
        """Whether the answer of a KTO row was liked, None elsewhere."""
        return self.values("desirable")

    @cached_property
    def _lists(self) -> pa.ListArray:
        column = self._rows["messages"]
        return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column

    @cached_property
    def _bounds(self) -> list[tuple[int, int]]:
        return list(pairwise(accumulate(self._lists.value_lengths().to_pylist(), initial=0)))

    def _turns(self, field: str) -> list[list[Any]]:
        values = self._lists.flatten().field(field).to_pylist()
        return [values[start:end] for start, end in self._bounds]


def spoken(content: str, tool_calls: str | None) -> str:
    """What a turn says as one text, for comparing."""
    return f"{content}\n{tool_calls}" if tool_calls else content


def with_conversations(
    rows: pa.RecordBatch,
    ids: Sequence[str],
    conversations: Sequence[Sequence[Message]],
    rejected: Sequence[Message | None],
) -> pa.RecordBatch:
    """The rows with other turns and ids, one of each a row; their other columns stay."""
    turns = [turn for conversation in conversations for turn in conversation]
    starts = accumulate(map(len, conversations), initial=0)
    columns = {
        "id": pa.array(ids, pa.string()),
        "messages": pa.ListArray.from_arrays(pa.array(starts, pa.int32()), _structs(turns)),
        "rejected": _structs(rejected),
    }
    for name, column in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), EXAMPLE_SCHEMA.field(name), column)
    return rows


def _structs(turns: Sequence[Message | None]) -> pa.StructArray:
    kind = EXAMPLE_SCHEMA.field("rejected").type
    fields = [
        pa.array([turn and getattr(turn, field.name) for turn in turns], field.type) for field in kind.fields
    ]
    missing = pa.array([turn is None for turn in turns], pa.bool_())
    return pa.StructArray.from_arrays(fields, fields=kind.fields, mask=missing)


def _message(role: Any, content: str, tool_calls: str | None) -> Message:
    return Message(role=role, content=content, tool_calls=tool_calls)
