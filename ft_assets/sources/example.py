"""The example: one row of data, the same from the first reader to the last report."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

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
        pa.field("line", pa.int64()),
        pa.field("license", pa.string(), nullable=False),
        pa.field("consent", pa.string()),
        pa.field("slice", pa.string(), nullable=False),
        pa.field("group", pa.string()),
        pa.field("author", pa.string()),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("batch", pa.string()),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("parents", pa.list_(pa.string()), nullable=False),
        pa.field("rejected", _MESSAGE),
        pa.field("desirable", pa.bool_()),
        pa.field("weight", pa.float64()),
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
    """One conversation whose last turn is the answer to learn.

    Attributes:
        source: file, dataset or function that the row is from; a file's own id of the row follows after `#`.
        line: line of a text file, or row of a table, from 1.
        group: salted hash of what the row belongs to (a customer, a conversation), for `strategy: column`.
        parents: ids of the rows or interactions that this one was made from.
        rejected: of a preference row, the worse answer, in place of the last turn.
        desirable: of a KTO row, whether the answer was liked; None elsewhere. One that was not is never imitated.
        weight: how many times over training learns the row; None is once.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    messages: tuple[Message, ...] = Field(min_length=2)
    source: str
    line: int | None = None
    license: str
    consent: str | None = None
    slice: str = "default"
    group: str | None = None
    author: str | None = None
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    batch: str | None = None
    kind: Kind = "seed"
    parents: tuple[str, ...] = ()
    rejected: Message | None = None
    desirable: bool | None = None
    weight: float | None = Field(default=None, gt=0, allow_inf_nan=False)

    @property
    def id(self) -> str:
        """Hash of what is said and how it was judged: the same row has the same id, wherever it came from."""
        return example_id(self.messages, self.rejected, self.desirable)

    @property
    def prompt(self) -> str:
        """Every turn before the answer, joined by blank lines."""
        return "\n\n".join(turn.content for turn in self.messages[:-1])

    @property
    def answer(self) -> str:
        """The last turn."""
        return self.messages[-1].content


def example_id(
    messages: Iterable[Message], rejected: Message | None = None, desirable: bool | None = None
) -> str:
    """First 32 hex digits of the sha256 of the normalised messages, and of the judgement where there is one."""
    content: list[Any] = [_turn(turn) for turn in messages]
    if rejected is not None or desirable is not None:
        content = [content, rejected and _turn(rejected), desirable]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:32]


def to_table(examples: Iterable[Example]) -> pa.Table:
    """Arrow table of `EXAMPLE_SCHEMA`, one row an example, in the order given."""
    return pa.Table.from_pylist([_to_row(example) for example in examples], schema=EXAMPLE_SCHEMA)


Rows = TypeVar("Rows", pa.Table, pa.RecordBatch)


def fit(rows: Rows, schema: pa.Schema) -> Rows:
    """The columns of a schema. One that came later than the rows' file, as `weight` did, is null in all of them.

    Raises:
        ValueError: a column that may not be null is missing, by its name.
    """
    for field in schema:
        if field.name not in rows.schema.names:
            rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(schema.names).cast(schema)


def from_table(table: pa.Table) -> Iterator[Example]:
    """Examples of a table that has at least the columns of `EXAMPLE_SCHEMA`, as `fit` gives them."""
    for row in fit(table, EXAMPLE_SCHEMA).to_pylist():
        del row["id"]
        yield Example(**row)


def _to_row(example: Example) -> dict[str, Any]:
    return {"id": example.id, **example.model_dump(), "parents": list(example.parents)}


def _turn(message: Message) -> list[str | None]:
    return [message.role, " ".join(message.content.split()), message.tool_calls]
