"""The operational database: SQLite in WAL mode by default, Postgres by URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from ft_assets.errors import BrokenEnvironment
from ft_assets.storage import postgres, sqlite

_MIGRATIONS = Path(__file__).parent / "migrations"
HEAD = "0006"


class Database:
    """Connections to one database, migrated to the present schema on first use.

    Raises:
        BrokenEnvironment: it cannot be reached, or is no database.
    """

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        self._kind = sqlite if parsed.get_backend_name() == "sqlite" else postgres
        self.engine = self._kind.make_engine(parsed)
        try:
            self._migrate_if_behind()
        except OperationalError as error:
            raise BrokenEnvironment(
                f"the operational database {parsed!r} cannot be used: {error.orig}; FT_ASSETS_DATABASE_URL names it"
            ) from error

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
        with self.engine.connect() as connection, self._kind.transaction(connection, patience):
            yield connection

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
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def _revision(self) -> str | None:
        with self.read() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            return connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
