"""Batches: data as it arrives, stored once and named by its content."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from ft_assets.errors import BrokenEnvironment, Refused, WrongInput
from ft_assets.sources.batch_files import BatchFiles
from ft_assets.sources.example import Example
from ft_assets.sources.rejected import Rejected
from ft_assets.storage.home import Home
from ft_assets.storage.keys import new_key
from ft_assets.storage.pseudonyms import Pseudonyms
from ft_assets.storage.tables import batches

Origin = Literal["source", "file", "feedback"]


def open_batch(home: Home, model: str, rows: Iterable[Example | Rejected], origin: Origin) -> str | None:
    """Store rows as a batch and return its key: the key of before if they were stored before.

    Rows are written as they come (see `BatchFiles`), so memory does not grow with them. Nothing is opened for no
    rows (None). The moments at which rows were made do not count as content, so copying a source file, or
    installing a package again, opens no second batch. Groups and authors that a source names are kept as salted
    hashes only; those of feedback are hashes already.

    Raises:
        WrongInput, BrokenEnvironment: the rows cannot all be read; nothing is stored.
    """
    files = BatchFiles(None if origin == "feedback" else Pseudonyms(home.key("users")))

    def fill(folder: Path) -> None:
        files.write(rows, folder)
        if not files.examples + files.rejected:
            raise _NothingNew(None)
        if key := _find_key(home, model, files.content):
            raise _NothingNew(key)

    try:
        digest = home.artifacts.write("batches", fill)
    except _NothingNew as nothing:  # and so the draft is gone
        return nothing.key
    return _insert(home, model, files.content, {"digest": digest, "origin": origin, "rows": files.examples})


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


def batch_folder(home: Home, model: str, key: str) -> Path:
    """Verified local folder of a batch's files.

    Raises:
        WrongInput: no such batch was opened.
        Refused: its rows were deleted by their retention, or their bytes were changed.
    """
    batch = find_batch(home, model, key)
    if deleted := batch["rows_deleted_at"]:
        raise Refused(
            f"the raw rows of batch {key} of {model} were deleted on {deleted:%Y-%m-%d %H:%M} UTC, as "
            "`curation.raw_retention_days` of its recipe wants; its curated rows stay"
        )
    return home.artifacts.path("batches", batch["digest"])


class _NothingNew(Exception):
    """There is nothing to store: no rows (`key` is None), or those of an earlier batch."""

    def __init__(self, key: str | None) -> None:
        self.key = key


def _insert(home: Home, model: str, content: str, values: dict[str, Any]) -> str:
    with home.database.write() as connection:
        key = connection.scalar(_same_content(model, content))
        if key is None:
            if not home.artifacts.exists("batches", values["digest"]):  # its twin's retention was quicker
                raise BrokenEnvironment(
                    f"the rows of a new batch of {model} were deleted; run the same again"
                )
            key = new_key(content)
            row = {**values, "model": model, "key": key, "opened_at": datetime.now(UTC)}
            connection.execute(sa.insert(batches).values(row))
    return key


def _find_key(home: Home, model: str, content: str) -> str | None:
    row = home.database.row(_same_content(model, content))
    return None if row is None else str(row["key"])


def _same_content(model: str, content: str) -> sa.Select[Any]:
    return sa.select(batches.c.key).where(
        batches.c.model == model, batches.c.key.endswith(f"-{content[:8]}", autoescape=True)
    )
