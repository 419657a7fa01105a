"""The example: one row of data, the same from the first reader to the last report."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["seed", "correction", "approved", "synthetic"]
Role = Literal["system", "user", "assistant", "tool"]

_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string()), ("tool_calls", pa.string())])

EXAMPLE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("messages", pa.list_(_MESSAGE), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("license", pa.string(), nullable=False),
        pa.field("slice", pa.string(), nullable=False),
        pa.field("author", pa.string()),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("batch", pa.string()),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("parents", pa.list_(pa.string()), nullable=False),
    ]
)
"""Arrow form of an example; `tool_calls` is canonical JSON. All dataset files start with these columns."""


class Message(BaseModel):
    """One turn. `tool_calls` is the OpenAI list of calls as JSON text, or None."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Role
    content: str
    tool_calls: str | None = None


class Example(BaseModel):
    """One conversation whose last turn is the answer to learn."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: tuple[Message, ...] = Field(min_length=2)
    source: str
    license: str
    slice: str = "default"
    author: str | None = None
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    batch: str | None = None
    kind: Kind = "seed"
    parents: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Hash of the messages: the same conversation has the same id, wherever it came from."""
        return example_id(self.messages)

    @property
    def prompt(self) -> str:
        """Every turn before the answer, joined by blank lines."""
        return "\n\n".join(turn.content for turn in self.messages[:-1])

    @property
    def answer(self) -> str:
        """The last turn."""
        return self.messages[-1].content


def example_id(messages: Iterable[Message]) -> str:
    """First 32 hex digits of the sha256 of the normalised messages."""
    turns = [[turn.role, " ".join(turn.content.split()), turn.tool_calls] for turn in messages]
    return hashlib.sha256(json.dumps(turns, ensure_ascii=False).encode()).hexdigest()[:32]


def to_table(examples: Iterable[Example]) -> pa.Table:
    """Arrow table of `EXAMPLE_SCHEMA`, one row an example, in the order given."""
    return pa.Table.from_pylist([_to_row(example) for example in examples], schema=EXAMPLE_SCHEMA)


def from_table(table: pa.Table) -> Iterator[Example]:
    """Examples of a table that has at least the columns of `EXAMPLE_SCHEMA`."""
    for row in table.select(EXAMPLE_SCHEMA.names).to_pylist():
        del row["id"]
        yield Example(**row)


def _to_row(example: Example) -> dict[str, Any]:
    return {"id": example.id, **example.model_dump(), "parents": list(example.parents)}
