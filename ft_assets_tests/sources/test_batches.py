"""A batch is stored once, and named by its content."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ft_assets.errors import WrongInput
from ft_assets.recipe_data import FileSource
from ft_assets.sources import batch_files
from ft_assets.sources.batch_files import read_shapes
from ft_assets.sources.batches import batch_folder, find_batch, list_batches, open_batch
from ft_assets.sources.docstrings import read_docstrings
from ft_assets.sources.example import EXAMPLE_SCHEMA, Example, Message, from_table
from ft_assets.sources.readers import read_source
from ft_assets.sources.rejected import REJECTED_SCHEMA, Rejected
from ft_assets.storage.home import Home
from ft_assets.storage.pseudonyms import Pseudonyms


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


def _bad(line: int) -> Rejected:
    return Rejected("a.jsonl", line, "not_json", "not JSON", "{")


def test_rows_that_could_not_be_read_are_stored_beside_the_others(home: Home) -> None:
    key = open_batch(home, "tiny", [_bad(1), _example("one", _NOW), _bad(3)], "file")
    assert key and find_batch(home, "tiny", key)["rows"] == 1
    unreadable = pq.read_table(batch_folder(home, "tiny", key) / "unreadable.parquet")
    assert unreadable.schema.equals(REJECTED_SCHEMA)
    assert unreadable.to_pylist() == [vars(_bad(1)), vars(_bad(3))]
    assert open_batch(home, "tiny", [_example("one", _NOW), _bad(3)], "file") != key


def test_a_batch_of_nothing_but_unreadable_rows_is_evidence(home: Home) -> None:
    key = open_batch(home, "tiny", [_bad(1)], "file")
    assert key and pq.read_table(batch_folder(home, "tiny", key) / "rows.parquet").num_rows == 0


def _group_sizes(home: Home, rows: Iterable[Example | Rejected]) -> list[int]:
    folder = batch_folder(home, "tiny", open_batch(home, "tiny", rows, "file") or "")
    metadata = pq.read_metadata(folder / "rows.parquet")
    return [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]


def test_rows_are_written_in_groups_as_they_come(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_files, "ROW_GROUP", 100)
    rows = (_example(f"answer {number}", _NOW) for number in range(301))
    assert _group_sizes(home, rows) == [100, 100, 100, 1]


def test_long_rows_come_in_smaller_groups(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_files, "_GROUP_CHARACTERS", 1_000)
    rows = [_example(f"{number}{'x' * 400}", _NOW) for number in range(7)]
    assert _group_sizes(home, rows) == [3, 3, 1]


def test_groups_and_authors_of_sources_are_kept_as_hashes(home: Home) -> None:
    named = _example("one", _NOW).model_copy(update={"group": "ACME", "author": "Ann"})
    hashes = Pseudonyms(home.key("users"))
    key = open_batch(home, "tiny", [named], "file")
    (stored,) = from_table(pq.read_table(batch_folder(home, "tiny", key or "") / "rows.parquet"))
    assert (stored.group, stored.author) == (hashes.of("ACME"), hashes.of("Ann"))
    taken = named.model_copy(update={"author": hashes.of("Ann"), "group": None})
    key = open_batch(home, "tiny", [taken], "feedback")  # whose authors are hashes already
    (stored,) = from_table(pq.read_table(batch_folder(home, "tiny", key or "") / "rows.parquet"))
    assert stored.author == hashes.of("Ann")


def test_shapes_are_stored(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"prompt": "a", "completion": "b"}\n{}\n')
    reading = read_source(FileSource(kind="file", path=str(tmp_path / "a.jsonl"), license="MIT"))
    key = open_batch(home, "tiny", reading, "file")
    assert read_shapes(batch_folder(home, "tiny", key or "")) == {"prompt_completion": 1}


def test_a_source_that_fails_half_way_stores_nothing(home: Home) -> None:
    def rows() -> Iterator[Example | Rejected]:
        yield _example("one", _NOW)
        raise WrongInput("no more")

    with pytest.raises(WrongInput, match="no more"):
        open_batch(home, "tiny", rows(), "file")
    assert list_batches(home, "tiny") == []
    assert list(Path(home.root).rglob("*.parquet")) == []


def test_the_same_content_leaves_no_second_artifact(home: Home) -> None:
    open_batch(home, "tiny", [_example("one", _NOW)], "file")
    open_batch(home, "tiny", [_example("one", _THEN)], "file")
    assert len(list((Path(home.root) / "batches").iterdir())) == 1


def _open_in_process(root: str) -> str | None:
    examples = list(read_docstrings(["json"], "PSF-2.0", 5))
    return open_batch(Home(root), "tiny", examples, "source")


def test_processes_that_open_the_same_batch_at_once_agree(home: Home) -> None:
    home.database  # noqa: B018  (migrated before the race)
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        keys = list(pool.map(_open_in_process, [home.root] * 3))
    assert len(set(keys)) == 1
    assert len(list_batches(home, "tiny")) == 1
