"""What comparisons look at in a row: the words of its question and of its answer, hashed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.curation.hashes import Array64, Hashes
from ft_assets.curation.near_duplicates import GRAM, Ints
from ft_assets.curation.turns import Columns
from ft_assets.curation.words import hash_column, hash_words, text_key

STRETCH = 13
"""Words in a row that hardly ever meet by chance."""

PASSAGE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("slice", pa.string(), nullable=False),
        pa.field("group", pa.string()),
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("question", pa.list_(pa.uint64()), nullable=False),
        pa.field("answer", pa.list_(pa.uint64()), nullable=False),
    ]
)
"""Arrow form of passages: `key` is that of the folded question, `question` and `answer` are hashed words in order."""


@dataclass(frozen=True)
class Words:
    """Hashed words of rows. The question is every turn before the answer; tool calls count as text."""

    questions: Hashes
    answers: Hashes

    def rows_at(self, indices: Ints) -> "Words":
        """The words of the rows at these indices, in their order."""
        return Words(self.questions.rows_at(indices), self.answers.rows_at(indices))

    @cached_property
    def texts(self) -> Hashes:
        """The words of whole conversations."""
        return Hashes.beside([self.questions, self.answers])

    @cached_property
    def grams(self) -> Hashes:
        """The set of word 3-grams of each conversation."""
        return self.texts.grams(GRAM).distinct()

    @cached_property
    def stretches(self) -> Hashes:
        """The word 13-grams of each conversation; a shorter one has none that another holds."""
        return self.texts.grams(STRETCH)


@dataclass(frozen=True)
class Passages(Words):
    """Rows of `PASSAGE_SCHEMA`, by column."""

    ids: Sequence[str]
    created_at: Sequence[datetime]
    slices: Sequence[str]
    groups: Sequence[str | None]
    keys: Array64

    def __len__(self) -> int:
        return len(self.ids)

    def age(self, index: int) -> tuple[datetime, str]:
        """Sorts rows from the earliest to the latest; ids decide between equal instants."""
        return self.created_at[index], self.ids[index]

    def to_arrow(self) -> pa.Table:
        """Table of `PASSAGE_SCHEMA`."""
        plain = [self.ids, self.created_at, self.slices, self.groups, self.keys]
        columns = [pa.array(column, field.type) for column, field in zip(plain, PASSAGE_SCHEMA, strict=False)]
        return pa.table([*columns, self.questions.to_arrow(), self.answers.to_arrow()], schema=PASSAGE_SCHEMA)

    def take(self, indices: Sequence[int]) -> "Passages":
        """The rows at these indices, in their order."""
        return Passages.from_arrow(self.to_arrow().take(pa.array(indices, pa.int64())))

    @staticmethod
    def from_arrow(table: pa.Table) -> "Passages":
        """The inverse of `to_arrow`."""
        return Passages(
            questions=Hashes.from_arrow(table["question"]),
            answers=Hashes.from_arrow(table["answer"]),
            ids=table["id"].to_pylist(),
            created_at=table["created_at"].to_pylist(),
            slices=table["slice"].to_pylist(),
            groups=table["group"].to_pylist(),
            keys=table["key"].to_numpy(),
        )


def read_words(table: pa.Table) -> Words:
    """Hashed words of a table with at least the columns of `EXAMPLE_SCHEMA`, in its order."""
    turns = table["messages"].combine_chunks()
    said, calls = (turns.flatten().field(name) for name in ("content", "tool_calls"))
    join = pc.binary_join_element_wise  # pyright: ignore[reportAttributeAccessIssue]
    words = hash_column(join(said, calls, "\n", null_handling="skip"))
    bounds = np.concatenate([[0], np.cumsum(turns.value_lengths().to_numpy())])
    last = np.zeros(len(said), bool)
    last[bounds[1:] - 1] = True
    of_answer = np.repeat(last, words.lengths)
    questions, answers = (
        Hashes(side.values, side.offsets[bounds]) for side in (words.take(~of_answer), words.take(of_answer))
    )
    return Words(_with_wordless(questions, table, 0), _with_wordless(answers, table, 1))


def read_passages(table: pa.Table) -> Passages:
    """The passages of a table with at least the columns of `EXAMPLE_SCHEMA`, in its order."""
    words = read_words(table)
    return Passages(
        questions=words.questions,
        answers=words.answers,
        ids=table["id"].to_pylist(),
        created_at=table["created_at"].to_pylist(),
        slices=table["slice"].to_pylist(),
        groups=table["group"].to_pylist(),
        keys=np.array(question_keys(table), np.uint64),
    )


def question_keys(table: pa.Table) -> list[int]:
    """Keys of the folded questions of a table with at least the columns of `EXAMPLE_SCHEMA`."""
    return [text_key(question) for question in _sides(table)[0]]


def _sides(table: pa.Table) -> tuple[list[str], list[str]]:
    turns = Columns(table).spoken
    return ["\n\n".join(said[:-1]) for said in turns], [said[-1] for said in turns]


def _with_wordless(hashes: Hashes, table: pa.Table, side: int) -> Hashes:
    """A side that has no words is known by its signs."""
    wordless = np.flatnonzero(hashes.lengths == 0)
    if not len(wordless):
        return hashes
    places = np.arange(hashes.rows)
    places[wordless] = hashes.rows + np.arange(len(wordless))
    return Hashes.join([hashes, hash_words(_sides(table.take(wordless))[side])]).rows_at(places)


def concat(parts: Iterable[Passages]) -> Passages:
    """All rows of the parts, in order."""
    tables = [part.to_arrow() for part in parts]
    return Passages.from_arrow(pa.concat_tables([PASSAGE_SCHEMA.empty_table(), *tables]))
