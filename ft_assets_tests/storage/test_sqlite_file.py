"""The file of a SQLite database: made once, missed when it is gone, and followed when another takes its place."""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from ft_assets.errors import BrokenEnvironment
from ft_assets.storage.home import Home
from ft_assets.storage.tables import decisions
from ft_assets_tests.postgres import about_sqlite

pytestmark = about_sqlite


@pytest.fixture
def file(home: Home) -> Path:
    """The file of a database that was in use, and to which no connection is open."""
    decide(home, "first")
    home.database.engine.dispose()
    return home.scratch / "ft_assets.db"


def decide(home: Home, model: str) -> None:
    row = {"model": model, "retrain": False, "reasons": [], "batches": [], "decided_at": datetime.now(UTC)}
    with home.database.write() as connection:
        connection.execute(sa.insert(decisions).values(row))


def decided(home: Home) -> set[str]:
    return {row["model"] for row in home.database.rows(sa.select(decisions.c.model))}


@pytest.mark.parametrize("left", [None, b""])
def test_where_it_is_gone_or_empty_no_new_one_is_made(home: Home, file: Path, left: bytes | None) -> None:
    file.rename(file.with_name("kept"))
    if left is not None:
        file.write_bytes(left)
    for opened in (home, Home(home.root)):
        with pytest.raises(
            BrokenEnvironment, match=r"gone or empty; put it back .*ft_assets\.db\.made to begin"
        ):
            opened.database.rows(sa.select(decisions))
    assert (file.read_bytes() if file.exists() else None) == left
    file.with_name("kept").rename(file)
    assert decided(home) == decided(Home(home.root)) == {"first"}


def test_who_deletes_the_mark_begins_anew(home: Home, file: Path) -> None:
    file.unlink()
    file.with_name(".ft_assets.db.made").unlink()
    assert decided(Home(home.root)) == set()


def test_a_home_from_before_the_mark_gets_one(home: Home, file: Path) -> None:
    file.with_name(".ft_assets.db.made").unlink()
    assert decided(Home(home.root)) == {"first"}
    assert file.with_name(".ft_assets.db.made").exists()


def test_nothing_is_written_into_a_file_that_was_taken_away(home: Home, file: Path) -> None:
    assert decided(home) == {"first"}  # the pool holds a connection now
    file.rename(file.with_name("kept"))
    with pytest.raises(BrokenEnvironment, match="gone"):
        decide(home, "lost")
    with closing(sqlite3.connect(file.with_name("kept"))) as kept:
        assert kept.execute("SELECT model FROM decisions").fetchall() == [("first",)]


def test_a_copy_that_takes_its_place_is_followed_by_open_connections(home: Home, file: Path) -> None:
    shutil.copy(file, file.with_name("copy"))
    other = Home(home.root)
    with other.database.read(), other.database.read():  # two connections, both of which go back to the pool
        decide(home, "second")
    assert decided(other) == {"first", "second"}
    home.database.engine.dispose()
    for rest in ("ft_assets.db-wal", "ft_assets.db-shm"):
        file.with_name(rest).unlink(missing_ok=True)
    file.with_name("copy").rename(file)
    assert decided(other) == {"first"}
    decide(other, "third")
    assert decided(home) == decided(Home(home.root)) == {"first", "third"}
