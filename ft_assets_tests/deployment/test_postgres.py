"""The cluster's database settings against a real Postgres, where one is installed."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml

from ft_assets.storage.database import Database
from ft_assets_tests.deployment.tree import BASE, read_env

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("initdb", "pg_ctl"))), reason="no Postgres server is installed"
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A Postgres of our own, with the databases of databases.sql."""
    folder = Path(tempfile.mkdtemp(prefix="ft_assets_postgres_"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    try:
        _run(folder, "initdb", "-D", str(folder / "data"), "-U", "ft_assets", "-A", "trust", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
        _run(
            folder,
            "pg_ctl",
            "-D",
            str(folder / "data"),
            "-w",
            "-l",
            str(folder / "log"),
            "-o",
            options,
            "start",
        )
        _make_databases(port)
        yield port
    finally:
        _run(folder, "pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")
        shutil.rmtree(folder)


def test_runs_and_events_are_kept_in_postgres(
    port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.asset
    def made() -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"rows": 1})

    settings = yaml.safe_load((BASE / "config" / "dagster.yaml").read_text())
    storage = settings["storage"]["postgres"]["postgres_db"]
    storage |= {"port": port, "hostname": "127.0.0.1"}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump({"storage": settings["storage"]}))
    monkeypatch.setenv("POSTGRES_USER", read_env(BASE / "config" / "settings.env")["POSTGRES_USER"])
    monkeypatch.setenv("POSTGRES_PASSWORD", "not-asked-for")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert dg.materialize([made], instance=instance).success
        assert instance.get_latest_materialization_event(dg.AssetKey("made")) is not None


def test_operational_database_migrates_beside_dagsters(port: int) -> None:
    url = sa.make_url(read_env(BASE / "secrets.env.example")["FT_ASSETS_DATABASE_URL"])
    database = Database(url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False))
    assert "promotion_ledger" in sa.inspect(database.engine).get_table_names()
    database.engine.dispose()


def _make_databases(port: int) -> None:
    url = f"postgresql+psycopg://ft_assets@127.0.0.1:{port}/postgres"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE DATABASE ft_assets"))  # POSTGRES_DB, which the image makes itself
        connection.exec_driver_sql((BASE / "config" / "databases.sql").read_text())
    engine.dispose()


def _run(folder: Path, *command: str) -> None:
    # Postgres refuses to run as root, so a root hands it to nobody.
    root = os.geteuid() == 0
    if root:
        shutil.chown(folder, "nobody")
    subprocess.run(
        command,
        check=True,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        user="nobody" if root else None,
        extra_groups=[] if root else None,
    )
