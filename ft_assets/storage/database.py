"""The operational database: SQLite in WAL mode by default, Postgres by URL."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from ft_assets.errors import BrokenEnvironment

_MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0004"
_BUSY_SECONDS = 60


class Database:
    """Connections to one database, migrated to the present schema on first use."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self._migrate_if_behind()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A connection that takes no write lock; each statement sees the latest commit."""
        with self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def write(self, patience: float | None = None) -> Iterator[sa.Connection]:
        """One transaction that holds the write lock from its start, so read-then-write is safe.

        Args:
            patience: seconds to wait for others' locks; None waits as long as usual.
        """
        with self.engine.connect() as connection:
            if patience is not None and self.engine.dialect.name == "sqlite":
                _wait_at_most(connection, patience)
            try:
                with connection.begin():
                    if patience is not None and self.engine.dialect.name == "postgresql":
                        wait = sa.text(f"SET LOCAL lock_timeout = {round(patience * 1000)}")
                        connection.execute(wait)
                    yield connection
            finally:
                if patience is not None and self.engine.dialect.name == "sqlite":
                    _wait_at_most(connection, _BUSY_SECONDS)

    def rows(self, statement: sa.Select[*tuple[Any, ...]]) -> list[dict[str, Any]]:
        """Every row of a query, as dictionaries."""
        with self.read() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]

    def row(self, statement: sa.Select[*tuple[Any, ...]]) -> dict[str, Any] | None:
        """The first row of a query, or None."""
        with self.read() as connection:
            found = connection.execute(statement).mappings().first()
        return None if found is None else dict(found)

    def _migrate_if_behind(self) -> None:
        if self._revision() == HEAD:
            return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        with self.write() as connection:  # the write lock lets only one process migrate
            if self.engine.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7203)"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def _revision(self) -> str | None:
        with self.read() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return connection.scalar(sa.text("SELECT version_num FROM alembic_version"))


def _engine(url: str) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return sa.create_engine(parsed, pool_pre_ping=True)
    if parsed.database:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
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
