"""SQLite in WAL mode, as the operational database: one writer at a time, commits that are on the disk.

Its file is made once. Where it is gone nothing makes an empty one in its place, which would know no API key and no
champion; where another was put in its place, connections to the old one are given up.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError

from ft_assets.errors import BrokenEnvironment

_BUSY_SECONDS = 60


def make_engine(url: sa.URL) -> sa.Engine:
    """Connections to a file, whose folder is made."""
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin_immediate)
    if url.database and url.database != ":memory:":
        file = _File(Path(url.database).absolute())
        event.listen(engine, "do_connect", file.open)
        event.listen(engine, "connect", file.note)
        event.listen(engine, "checkout", file.check)
    return engine


class _File:
    """Where the database lies. A file beside it says that it was made."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._made = path.with_name(f".{path.name}.made")

    def open(self, _dialect: object, _record: object, args: list[str], settings: dict[str, Any]) -> None:
        """Let SQLite make the file the first time, and never again."""
        # Looked for before the file, which another process may make at this moment.
        if not self._made.exists():
            return
        if not self._path.exists() or not self._path.stat().st_size:
            raise BrokenEnvironment(
                f"the operational database {self._path} is gone or empty; put it back with what belongs to it "
                f"(-wal, -shm), or delete {self._made} to begin with an empty one"
            )
        args[0], settings["uri"] = f"{self._path.as_uri()}?mode=rw", True

    def note(self, _connection: object, record: Any) -> None:
        """Keep which file a new connection leads to."""
        if not self._made.exists():
            self._made.touch()
        record.info["file"] = self._identity()

    def check(self, _connection: object, record: Any, _proxy: object) -> None:
        """Give up a connection that leads to a file which is no longer there: SQLAlchemy makes another."""
        if record.info["file"] != self._identity():
            raise DisconnectionError(f"{self._path} is another file than it was")

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino


@contextmanager
def transaction(connection: sa.Connection, patience: float | None) -> Iterator[None]:
    """A transaction that alone may write from its start; see `Database.write`."""
    if patience is None:
        with connection.begin():
            yield
        return
    _wait_at_most(connection, patience)
    try:
        with connection.begin():
            yield
    finally:
        _wait_at_most(connection, _BUSY_SECONDS)


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's documented way to control BEGIN oneself
    try:
        _switch_to_wal(connection)
    except sqlite3.DatabaseError as error:
        raise BrokenEnvironment(f"the operational database cannot be opened: {error}") from error
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _wait_at_most(connection: sa.Connection, seconds: float) -> None:
    # On the driver's connection: a statement of SQLAlchemy's would begin the transaction, and wait for its lock.
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.execute(f"PRAGMA busy_timeout={round(seconds * 1000)}")


def _switch_to_wal(connection: sqlite3.Connection, tries: int = 100) -> None:
    # Changing the journal mode of a new file ignores the busy timeout, so two first users may collide.
    for left in reversed(range(tries)):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if left == 0 or "locked" not in str(error):
                raise
            time.sleep(0.05)


def _begin_immediate(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
