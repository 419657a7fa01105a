"""Batches: data as it arrives, stored once and named by its content."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import pyarrow.parquet as pq
import sqlalchemy as sa

from ft_assets.errors import WrongInput
from ft_assets.sources.example import Example, to_table
from ft_assets.storage.home import Home
from ft_assets.storage.keys import new_key
from ft_assets.storage.tables import batches

Origin = Literal["source", "file", "feedback"]


def open_batch(home: Home, model: str, examples: Sequence[Example], origin: Origin) -> str | None:
    """Store examples as a batch and return its key: the key of before if they were stored before.

    Nothing is opened for no examples (None). The moments at which rows were made do not count as content,
    so copying a source file, or installing a package again, opens no second batch.
    """
    if not examples:
        return None
    content = _content_digest(examples)
    if key := _find_key(home, model, content):
        return key
    table = to_table(examples)
    digest = home.artifacts.write("batches", lambda folder: pq.write_table(table, folder / "rows.parquet"))
    row = {"model": model, "digest": digest, "origin": origin, "rows": len(examples)}
    with home.database.write() as connection:
        key = connection.scalar(_same_content(model, content))
        if key is None:
            key = new_key(content)
            connection.execute(sa.insert(batches).values({**row, "key": key, "opened_at": datetime.now(UTC)}))
    return key


def list_batches(home: Home, model: str) -> list[dict[str, Any]]:
    """Every batch of a model as a row of table `batches`, in the order in which they were opened."""
    query = sa.select(batches).where(batches.c.model == model)
    return home.database.rows(query.order_by(batches.c.opened_at, batches.c.key))


def find_batch(home: Home, model: str, key: str) -> dict[str, Any]:
    """The row of table `batches` of a partition key.

    Raises:
        WrongInput: no such batch was opened.
    """
    row = home.database.row(sa.select(batches).where(batches.c.model == model, batches.c.key == key))
    if row is None:
        raise WrongInput(f"{model} has no batch {key}: batches are opened by its sources and its feedback")
    return row


def _find_key(home: Home, model: str, content: str) -> str | None:
    row = home.database.row(_same_content(model, content))
    return None if row is None else str(row["key"])


def _same_content(model: str, content: str) -> sa.Select[Any]:
    return sa.select(batches.c.key).where(
        batches.c.model == model, batches.c.key.endswith(f"-{content[:8]}", autoescape=True)
    )


def _content_digest(examples: Sequence[Example]) -> str:
    """Sha256 over every field but `created_at` and `batch`, in the order given."""
    digest = hashlib.sha256()
    for example in examples:
        fields = example.model_dump(mode="json", exclude={"created_at", "batch"})
        digest.update(json.dumps(fields, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
