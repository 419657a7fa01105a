"""A batch is stored once, and named by its content."""

from datetime import UTC, datetime
from multiprocessing import get_context

import pyarrow.parquet as pq
import pytest

from ft_assets.errors import WrongInput
from ft_assets.sources.batches import find_batch, list_batches, open_batch
from ft_assets.sources.docstrings import read_docstrings
from ft_assets.sources.example import EXAMPLE_SCHEMA, Example, Message
from ft_assets.storage.home import Home


def _example(answer: str, at: datetime) -> Example:
    turns = (Message(role="user", content="Say it."), Message(role="assistant", content=answer))
    return Example(messages=turns, source="test", license="MIT", created_at=at)


_NOW, _THEN = datetime(2026, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)


def test_rows_are_stored_and_listed(home: Home) -> None:
    key = open_batch(home, "tiny", [_example("one", _NOW)], "file")
    (row,) = list_batches(home, "tiny")
    assert (row["key"], row["origin"], row["rows"]) == (key, "file", 1)
    table = pq.read_table(home.artifacts.path("batches", row["digest"]) / "rows.parquet")
    assert table.schema.equals(EXAMPLE_SCHEMA)
    assert find_batch(home, "tiny", row["key"]) == row


def test_the_same_content_is_one_batch_even_when_its_files_were_touched(home: Home) -> None:
    key = open_batch(home, "tiny", [_example("one", _NOW)], "file")
    assert open_batch(home, "tiny", [_example("one", _THEN)], "source") == key
    assert open_batch(home, "other", [_example("one", _NOW)], "file") is not None
    assert open_batch(home, "tiny", [_example("two", _NOW)], "file") != key
    assert len(list_batches(home, "tiny")) == 2


def test_no_rows_open_nothing(home: Home) -> None:
    assert open_batch(home, "tiny", [], "feedback") is None
    assert list_batches(home, "tiny") == []


def test_an_unknown_batch_is_named(home: Home) -> None:
    with pytest.raises(WrongInput, match="tiny has no batch 2026"):
        find_batch(home, "tiny", "20260101T0000-00000000")


def _open_in_process(root: str) -> str | None:
    examples = list(read_docstrings(["json"], "PSF-2.0", 5))
    return open_batch(Home(root), "tiny", examples, "source")


def test_processes_that_open_the_same_batch_at_once_agree(home: Home) -> None:
    home.database  # noqa: B018  (migrated before the race)
    with get_context("spawn").Pool(3) as pool:
        keys = pool.map(_open_in_process, [home.root] * 3)
    assert len(set(keys)) == 1
    assert len(list_batches(home, "tiny")) == 1
