"""Postgres as the operational database: one writer at a time, as in SQLite, and no waiting for a server that is gone.

SQLite's writers exclude each other, and what reads before it writes relies on that. Two transactions of Postgres would
both read, and both write, so that here too a transaction that writes holds one lock from its start.
"""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from ft_assets.errors import WrongInput

_WRITERS = 7203
"""Key of the lock; Postgres locks numbers, within one database."""
_CONNECTING: dict[str, Any] = {
    "connect_timeout": 5,
    # A host that went without a word is given up after 15 seconds, not after the system's two hours.
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}
"""Settings of libpq, where the URL does not say otherwise."""
_SESSION = (
    "SET lock_timeout = '60s'",
    # The same the other way round: the lock of a writer whose host is gone is free again.
    "SET idle_in_transaction_session_timeout = '60s'",
)
_patience = threading.local()


def make_engine(url: sa.URL) -> sa.Engine:
    """Connections to a server, each tried before it is used, so that a restart of the server breaks no later work.

    Raises:
        WrongInput: the URL is for another database, or another driver.
    """
    if (url.get_backend_name(), url.get_driver_name()) != ("postgresql", "psycopg"):
        raise WrongInput(
            f"FT_ASSETS_DATABASE_URL begins with {url.drivername}://; write sqlite:/// or postgresql+psycopg://"
        )
    ours = {name: value for name, value in _CONNECTING.items() if name not in url.query}
    engine = sa.create_engine(url, pool_pre_ping=True, connect_args=ours)
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "connect", _configure)
    return engine


@contextmanager
def heard_within(seconds: float) -> Iterator[None]:
    """In this block and thread, a server that says nothing for so long is given up with `OperationalError`.

    It is for a server that hangs while its host goes on to acknowledge what we send: no timeout of TCP's ends that
    wait, and none of Postgres's own. Elsewhere we wait: a long query says nothing for a while.
    """
    before = getattr(_patience, "seconds", None)
    _patience.seconds = seconds
    try:
        yield
    finally:
        _patience.seconds = before


@contextmanager
def transaction(connection: sa.Connection, patience: float | None) -> Iterator[None]:
    """A transaction that alone may write from its start; see `Database.write`."""
    with connection.begin():
        if patience is not None:
            connection.execute(sa.text(f"SET LOCAL lock_timeout = {round(patience * 1000)}"))
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITERS)))
        yield


def _connect(_dialect: object, _record: object, args: list[Any], settings: dict[str, Any]) -> Any:
    return _connection_class().connect(*args, **settings)


def _configure(connection: Any, _record: object) -> None:
    connection.adapters.register_dumper(str, _without_nul())
    for setting in _SESSION:
        connection.execute(setting)
    connection.commit()


@cache
def _without_nul() -> type:
    """How psycopg sends text: Postgres keeps no NUL, and an answer with one must not be lost for it."""
    from psycopg.types.string import StrDumper

    class WithoutNul(StrDumper):
        def dump(self, obj: str) -> Any:
            return super().dump(obj.replace("\0", "\ufffd"))

    return WithoutNul


@cache
def _connection_class() -> Any:
    """psycopg's connection, which closes itself where `heard_within` gives the server up."""
    import psycopg

    class Connection(psycopg.Connection[Any]):
        def wait(self, gen: Generator[Any, Any, Any], *args: Any, **settings: Any) -> Any:
            seconds = getattr(_patience, "seconds", None)
            if seconds is None:
                return super().wait(gen, *args, **settings)
            try:
                return super().wait(_heard(gen, seconds), *args, **settings)
            except TimeoutError as error:
                self.close()  # what it may still say belongs to nobody, and SQLAlchemy makes another
                raise psycopg.OperationalError(str(error)) from error

    return Connection


def _heard(steps: Generator[Any, Any, Any], seconds: float) -> Generator[Any, Any, Any]:
    """The steps of something that is asked of the server; psycopg resumes them ten times a second, ready or not."""
    ready, heard = None, time.monotonic()
    try:
        while True:
            ready = yield steps.send(ready)
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > seconds:
                raise TimeoutError(f"the server has said nothing for {seconds:g} s")
    except StopIteration as end:
        return end.value
