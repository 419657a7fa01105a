"""Rows that the splitting tests are made of."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.curation.tally import Tally
from ft_assets.sources.example import Example, Message, to_table
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, write_record

START = datetime(2026, 1, 1, tzinfo=UTC)
_WORDS = [f"word{number}" for number in range(5_000)]


def example(question: str, answer: str = "Yes.", minute: int = 0, **more: str) -> Example:
    """An example asked `minute` minutes after `START`."""
    messages = (Message(role="user", content=question), Message(role="assistant", content=answer))
    values = {"source": "tests", "license": "CC0-1.0", "batch": "b1", **more}
    return Example(messages=messages, created_at=START + timedelta(minutes=minute), **values)


def unrelated(count: int, words: int = 30, seed: int = 0) -> list[Example]:
    """Examples of random words, no two alike, a minute apart."""
    draw = random.Random(seed)
    return [
        example(" ".join(draw.choices(_WORDS, k=words)), " ".join(draw.choices(_WORDS, k=5)), minute)
        for minute in range(count)
    ]


def changed(text: str, places: Sequence[int]) -> str:
    """The text with the words at these places replaced."""
    words = text.split()
    for place in places:
        words[place] = f"changed{place}"
    return " ".join(words)


def by_id(table: pa.Table, column: str = "side") -> dict[str, str]:
    """A column's value for each row's id."""
    return dict(zip(table["id"].to_pylist(), table[column].to_pylist(), strict=True))


def store_rows(home: Home, rows: pa.Table, asset: str, partition: str, model: str = "tiny") -> str:
    """Write rows as the artifact of an asset partition; returns the digest."""
    digest = home.artifacts.write("datasets", lambda folder: pq.write_table(rows, folder / "rows.parquet"))
    write_record(home, Record(model, asset, partition, "datasets", digest))
    return digest


def store_batch(home: Home, batch: str, examples: Sequence[Example], model: str = "tiny") -> str:
    """Write examples as the curated batch of a key; returns the digest."""
    rows, tally = to_table(examples), Tally(None)
    for block in rows.to_batches():
        tally.kept(block)

    def fill(folder: Path) -> None:
        pq.write_table(rows, folder / "rows.parquet")
        (folder / "summary.json").write_text(tally.summary().model_dump_json())

    digest = home.artifacts.write("datasets", fill)
    write_record(home, Record(model, "curated_batch", batch, "datasets", digest))
    return digest
