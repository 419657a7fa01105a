"""SQLite in WAL mode, as the operational database: one writer at a time, commits that are on the disk."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event

from ft_assets.errors import BrokenEnvironment

_BUSY_SECONDS = 60


def make_engine(url: sa.URL) -> sa.Engine:
    """Connections to a file, whose folder is made."""
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin_immediate)
    return engine


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
