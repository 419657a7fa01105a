"""A real Postgres for tests: databases on a server that is named, or a server of a test's own that may die.

Environment:
    FT_ASSETS_TEST_POSTGRES: URL of a server on which tests may make and drop databases, such as
        `postgresql+psycopg://ft_assets@127.0.0.1:5432/postgres`. Every test's `home` then has its database there.
"""

import os
import secrets
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psutil
import pytest
import sqlalchemy as sa

SERVER = os.environ.get("FT_ASSETS_TEST_POSTGRES", "")
PROGRAMS = ("initdb", "pg_ctl")

about_sqlite = pytest.mark.skipif(
    bool(SERVER), reason="about files of SQLite, and every home is on one Postgres"
)


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """URL of an empty database, dropped afterwards whoever is still connected."""
    name = f"test_{secrets.token_hex(6)}"
    _command(server, f"CREATE DATABASE {name}")
    try:
        yield sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        _command(server, f"DROP DATABASE {name} WITH (FORCE)")


class Postgres:
    """A server of a test's own on loopback, running for the length of a `with` block.

    Attributes:
        url: of its database `postgres`.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ft_assets_postgres_"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.url = f"postgresql+psycopg://ft_assets@127.0.0.1:{self._port}/postgres"

    def __enter__(self) -> "Postgres":
        self._run("initdb", "-U", "ft_assets", "-A", "trust", "--no-sync")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop("immediate")
        except subprocess.CalledProcessError:  # the test has left it stopped
            pass
        finally:
            shutil.rmtree(self._folder)

    def start(self) -> None:
        """Return once it takes connections."""
        options = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def stop(self, how: Literal["fast", "immediate"]) -> None:
        """End it: `fast` throws every client out, `immediate` is a crash, after which it recovers from its log."""
        self._run("pg_ctl", "-m", how, "-w", "stop")

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """For the length of the block none of its processes runs, and the system keeps its connections open."""
        family = self._family()
        for process in family:  # its parent first, which would start others
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in family:
                process.send_signal(signal.SIGCONT)

    def _family(self) -> list[psutil.Process]:
        parent = psutil.Process(int((self._folder / "data" / "postmaster.pid").read_text().split()[0]))
        return [parent, *parent.children(recursive=True)]

    def _run(self, program: str, *arguments: str) -> None:
        # Postgres refuses to run as root, so a root hands it to nobody.
        root = os.geteuid() == 0
        if root:
            shutil.chown(self._folder, "nobody")
        subprocess.run(
            [program, "-D", str(self._folder / "data"), *arguments],
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user="nobody" if root else None,
            extra_groups=[] if root else None,
        )


@contextmanager
def mute_server() -> Iterator[str]:
    """URL of a server that lets everybody in and then says nothing, on a host that acknowledges all that it is sent."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Mute) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        try:
            yield f"postgresql+psycopg://ann@127.0.0.1:{server.server_address[1]}/ft_assets"
        finally:
            server.shutdown()


class _Mute(socketserver.StreamRequestHandler):
    """Postgres's protocol up to where queries are taken."""

    def handle(self) -> None:
        while self._asks_for_encryption():
            self.wfile.write(b"N")
        self.wfile.write(b"R" + struct.pack(">ii", 8, 0) + b"Z" + struct.pack(">i", 5) + b"I")
        self.rfile.read()

    def _asks_for_encryption(self) -> bool:
        length, code = struct.unpack(">ii", self.rfile.read(8))
        self.rfile.read(length - 8)
        return code in (80877103, 80877104)


def _command(server: str, statement: str) -> None:
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
