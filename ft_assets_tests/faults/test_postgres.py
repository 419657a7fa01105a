"""What only Postgres does otherwise than SQLite; `ft_assets_tests/postgres.py` says how to run everything on it."""

import socket
import time

import pytest
import sqlalchemy as sa

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.storage.database import Database
from ft_assets.storage.home import Home
from ft_assets.storage.sql import query
from ft_assets.storage.tables import costs, decisions, promotion_ledger
from ft_assets_tests.postgres import SERVER
from ft_assets_tests.storage.test_database import decision, entry

on_postgres = pytest.mark.skipif(not SERVER, reason="FT_ASSETS_TEST_POSTGRES names no server")


@on_postgres
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE promotion_ledger SET champion = 'base'",
        "DELETE FROM promotion_ledger",
        "TRUNCATE promotion_ledger",
        "INSERT INTO promotion_ledger SELECT * FROM promotion_ledger "
        "ON CONFLICT (seq) DO UPDATE SET champion = 'base'",
    ],
)
def test_the_ledger_refuses_every_change_of_what_is_written(home: Home, statement: str) -> None:
    with home.database.write() as connection:
        connection.execute(sa.insert(promotion_ledger).values(entry()))
    before = home.database.rows(sa.select(promotion_ledger))
    with pytest.raises(sa.exc.IntegrityError, match="append-only"), home.database.write() as connection:
        connection.exec_driver_sql(statement)
    assert home.database.rows(sa.select(promotion_ledger)) == before


@on_postgres
def test_costs_cannot_be_emptied(home: Home) -> None:
    with pytest.raises(sa.exc.IntegrityError, match="append-only"), home.database.write() as connection:
        connection.execute(sa.text(f"TRUNCATE {costs.name}"))


@on_postgres
def test_a_writer_in_a_hurry_gives_up_and_the_next_one_is_patient_again(home: Home) -> None:
    with home.database.write():
        began = time.monotonic()
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"), home.database.write(0.1):
            pass
        assert time.monotonic() - began < 5
    with home.database.write(0.1) as connection:
        connection.execute(sa.insert(decisions).values(decision("m")))
    with home.database.read() as connection:
        assert connection.scalar(sa.text("SHOW lock_timeout")) == "1min"
        assert connection.scalar(sa.text("SHOW idle_in_transaction_session_timeout")) == "1min"


@on_postgres
def test_duckdb_reads_its_tables(home: Home) -> None:
    with home.database.write() as connection:
        connection.execute(sa.insert(promotion_ledger).values({**entry(), "details": {"weight": 0.5}}))
    found = query(home, "SELECT champion, details.weight FROM promotion_ledger").to_pylist()
    assert [(row["champion"], row["weight"]) for row in found] == [("m@1", 0.5)]
    assert query(home, "SELECT count(*) AS n FROM interactions").to_pylist() == [{"n": 0}]


@on_postgres
def test_an_answer_with_a_character_that_postgres_cannot_keep_is_kept_without_it(home: Home) -> None:
    with home.database.write() as connection:
        connection.execute(sa.insert(decisions).values({**decision("a\0b"), "reasons": ["c\0d"]}))
    row = home.database.row(sa.select(decisions))
    assert row is not None
    assert (row["model"], row["reasons"]) == ("a\ufffdb", ["c\0d"])


@pytest.mark.parametrize("scheme", ["postgresql+psycopg2", "postgresql+pg8000", "mysql"])
def test_another_database_or_driver_is_refused(scheme: str) -> None:
    with pytest.raises(WrongInput, match=r"postgresql\+psycopg://"):
        Database(f"{scheme}://ann@127.0.0.1/ft_assets")


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(BrokenEnvironment, match="FT_ASSETS_DATABASE_URL") as raised:
        Database("postgresql+psycopg://ann:secret@127.0.0.1:1/ft_assets")
    assert "ann:***@127.0.0.1:1" in str(raised.value)
    assert "secret" not in str(raised.value)


def test_a_server_that_takes_connections_and_says_nothing_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        began = time.monotonic()
        with pytest.raises(BrokenEnvironment, match="timeout"):
            Database(f"postgresql+psycopg://ann@127.0.0.1:{port}/ft_assets?connect_timeout=2")
    assert time.monotonic() - began < 10
