"""The operational database: one schema, one writer at a time, and commits that survive."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from ft_assets.errors import BrokenEnvironment
from ft_assets.storage import database
from ft_assets.storage.home import Home
from ft_assets.storage.tables import decisions, metadata, promotion_ledger, split_ledger
from ft_assets_tests.postgres import SERVER, about_sqlite
from ft_assets_tests.storage.children import kill_after, start

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def decision(model: str) -> dict:
    return {"model": model, "retrain": False, "reasons": [], "batches": [], "decided_at": NOW}


def entry(seq: int | None = None) -> dict:
    values = {
        "model": "m",
        "action": "promote",
        "address": "m@1",
        "champion": "m@1",
        "by": "p",
        "reason": "r",
    }
    return {**values, "details": {}, "at": NOW} | ({} if seq is None else {"seq": seq})


def test_migrations_make_exactly_the_tables(home: Home) -> None:
    with home.database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_head_is_the_latest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == database.HEAD


def test_opening_again_changes_nothing(home: Home) -> None:
    home.database  # noqa: B018
    assert Home(home.root).database.rows(
        sa.select(sa.text("version_num")).select_from(sa.text("alembic_version"))
    ) == [{"version_num": database.HEAD}]


def test_processes_that_open_a_new_home_at_once_all_succeed(home: Home) -> None:
    children = [start("open", home.root) for _ in range(4)]
    results = [(*child.communicate(), child.returncode) for child in children]
    assert [code for *_, code in results] == [0] * 4, results
    assert {out.strip() for out, *_ in results} == {home.key("test").hex()}


def test_acknowledged_commits_survive_kill_9(home: Home) -> None:
    home.database  # noqa: B018
    acknowledged: list[str] = []
    for lines in (5, 40, 1, 17):
        acknowledged += kill_after(start("rows", home.root), lines)
    kept = {row["example"] for row in home.database.rows(sa.select(split_ledger))}
    assert set(acknowledged) <= kept
    assert len(kept) - len(acknowledged) <= 4  # at most one commit a kill was never acknowledged
    if not SERVER:
        with home.database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def test_read_then_write_is_one_step_to_other_writers(home: Home) -> None:
    def count_and_add(_: int) -> None:
        with home.database.write() as connection:
            count = connection.scalar(sa.select(sa.func.count()).select_from(decisions))
            connection.execute(sa.insert(decisions).values(decision(f"m{count}")))

    home.database  # noqa: B018
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count_and_add, range(40)))
    assert sorted(row["model"] for row in home.database.rows(sa.select(decisions))) == sorted(
        f"m{number}" for number in range(40)
    )


def test_failed_transaction_leaves_nothing(home: Home) -> None:
    def add_then_fail() -> None:
        with home.database.write() as connection:
            connection.execute(sa.insert(decisions).values(decision("m")))
            raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        add_then_fail()
    assert home.database.row(sa.select(decisions)) is None


def test_reader_is_not_held_up_by_a_writer_and_sees_only_commits(home: Home) -> None:
    with home.database.write() as connection:
        connection.execute(sa.insert(decisions).values(decision("m")))
        assert home.database.rows(sa.select(decisions)) == []
    assert len(home.database.rows(sa.select(decisions))) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda: sa.update(promotion_ledger).values(champion="base"),
        lambda: sa.delete(promotion_ledger),
        pytest.param(
            lambda: sa.insert(promotion_ledger).prefix_with("OR REPLACE").values(entry(seq=1)),
            marks=about_sqlite,
        ),
    ],
    ids=["update", "delete", "replace"],
)
def test_promotion_ledger_refuses_changes(home: Home, change: Callable[[], sa.Executable]) -> None:
    with home.database.write() as connection:
        connection.execute(sa.insert(promotion_ledger).values(entry()))
    before = home.database.rows(sa.select(promotion_ledger))
    with pytest.raises(sa.exc.IntegrityError, match="append-only"), home.database.write() as connection:
        connection.execute(change())
    assert home.database.rows(sa.select(promotion_ledger)) == before


@about_sqlite
def test_promotion_ledger_refuses_changes_from_outside_too(home: Home) -> None:
    with home.database.write() as connection:
        connection.execute(sa.insert(promotion_ledger).values(entry()))
    with sqlite3.connect(Path(home.root) / "ft_assets.db") as other:
        for statement in (
            "DELETE FROM promotion_ledger",
            "UPDATE promotion_ledger SET champion = 'base'",
            "REPLACE INTO promotion_ledger SELECT seq, model, action, address, 'base', by, reason, details, at "
            "FROM promotion_ledger",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                other.execute(statement)
    other.close()


def test_instants_come_back_in_utc(home: Home) -> None:
    east = datetime(2026, 1, 1, 9, tzinfo=timezone(timedelta(hours=9)))
    with home.database.write() as connection:
        connection.execute(sa.insert(decisions).values({**decision("m"), "decided_at": east}))
    row = home.database.row(sa.select(decisions))
    assert row and row["decided_at"] == NOW and row["decided_at"].utcoffset() == timedelta(0)


@about_sqlite
def test_commits_are_synced_and_foreign_keys_hold(home: Home) -> None:
    with home.database.read() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "foreign_keys")
        ]
        assert values == ["wal", 1]
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2


@about_sqlite
def test_file_that_is_no_database_is_a_broken_environment(home: Home) -> None:
    (home.scratch / "ft_assets.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(BrokenEnvironment, match="cannot be opened"):
        home.database  # noqa: B018


@about_sqlite
def test_a_writer_in_a_hurry_gives_up_on_a_lock_and_the_next_one_is_patient_again(home: Home) -> None:
    holder = Home(home.root).database
    with holder.write():
        with pytest.raises(sa.exc.OperationalError, match="locked"), home.database.write(patience=0.01):
            pass
        with home.database.read() as connection:
            assert connection.scalar(sa.text("PRAGMA busy_timeout")) == 60_000
    with home.database.write(patience=0.01) as connection:
        connection.execute(sa.insert(decisions).values(decision("m")))
    assert len(home.database.rows(sa.select(decisions))) == 1
