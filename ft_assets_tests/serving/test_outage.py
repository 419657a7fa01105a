"""A database that is away for a while, and a server that is told to end or killed: nobody's answer is lost."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import sqlalchemy as sa

from ft_assets.bases.base_models import prepare_base
from ft_assets.recipe import Base
from ft_assets.serving.deliverer import LOCK_SECONDS
from ft_assets.serving.launch import Server
from ft_assets.storage.home import Home
from ft_assets.storage.tables import feedback, interactions
from ft_assets_tests.postgres import about_sqlite
from ft_assets_tests.serving.conftest import PROMPT, TINY, Guarded, until


@contextmanager
def locked(home: Home) -> Iterator[None]:
    """The real database file, locked by another process's means against every writer."""
    with closing(sqlite3.connect(home.scratch / "ft_assets.db", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield
        holder.execute("ROLLBACK")


def count(home: Home, table: sa.Table, ids: list[str]) -> int:
    query = sa.select(table.c.inference_id).where(table.c.inference_id.in_(ids))
    return len(home.database.rows(query))


def in_order(home: Home, ids: list[str]) -> list[str]:
    """Those of the answers that are in the database, in the order in which they arrived there."""
    query = sa.select(interactions.c.inference_id).where(interactions.c.inference_id.in_(ids))
    return [row["inference_id"] for row in home.database.rows(query.order_by(sa.text("rowid")))]


def kill(server: Server) -> None:
    """End every process of a server without a word to any of them."""
    assert server._process is not None
    supervisor = psutil.Process(server._process.pid)
    family = [supervisor, *supervisor.children(recursive=True)]
    for process in family:
        process.kill()
    psutil.wait_procs(family[1:], timeout=10)


def test_answers_and_feedback_given_while_the_database_is_locked_arrive_once_it_is_back(guarded: Guarded):
    with locked(guarded.home):
        answers = [guarded.ask("ann") for _ in range(20)]
        assert [answer.status_code for answer in answers] == [200] * 20
        assert (
            max(answer.elapsed.total_seconds() for answer in answers) < LOCK_SECONDS
        )  # none waits for the lock
        ids = [answer.json()["id"] for answer in answers]
        said = [guarded.thumb("ann", name, f"outage-{name}") for name in ids + ids]
        assert {reply.status_code for reply in said} == {202}
        assert count(guarded.home, interactions, ids) == 0
    until(lambda: count(guarded.home, feedback, ids) == 20, seconds=20)
    assert in_order(guarded.home, ids) == ids
    assert count(guarded.home, feedback, ids) == 20
    late = guarded.ask("ann").json()["id"]
    until(lambda: guarded.thumb("ann", late, "late").json()["stored"])
    assert count(guarded.home, feedback, [late]) == 1


@about_sqlite
def test_nothing_is_lost_while_the_file_of_the_database_is_elsewhere(guarded: Guarded, tmp_path: Path):
    files = [*guarded.home.scratch.glob("ft_assets.db*")]
    for file in files:
        file.rename(tmp_path / file.name)
    answers = [guarded.ask("ann").json()["id"] for _ in range(3)]
    until(lambda: guarded.thumb("ann", answers[0], "elsewhere").status_code == 202)
    assert not [*guarded.home.scratch.glob("ft_assets.db*")]
    for file in files:
        (tmp_path / file.name).rename(file)
    until(lambda: in_order(guarded.home, answers) == answers, seconds=20)
    until(lambda: count(guarded.home, feedback, answers) == 1, seconds=20)


@pytest.mark.slow
def test_two_servers_of_a_home_share_answers_and_one_delivers_what_the_other_left(guarded: Guarded):
    digest, _ = prepare_base(guarded.home, Base.model_validate(TINY))
    with Server(guarded.home, digest) as server:
        second = Guarded(guarded.home, server, guarded.keys)
        pairs = [(guarded, second), (second, guarded)] * 15
        for asked, told in pairs:
            answer = asked.ask("ann").json()["id"]
            edit = {"inference_id": answer, "kind": "edit", "value": "Better.", "idempotency_key": answer}
            reply = told.post("ann", "/v1/feedback", edit)
            assert (reply.status_code, reply.json()) == (
                200,
                {"inference_id": answer, "stored": True, "duplicate": False},
            )
        with locked(guarded.home):
            last = second.ask("ann").json()["id"]
            kill(server)
            assert count(guarded.home, interactions, [last]) == 0
        until(lambda: count(guarded.home, interactions, [last]) == 1, seconds=20)


@pytest.mark.slow
def test_a_server_that_is_killed_loses_nothing_that_it_answered(tmp_path_factory: pytest.TempPathFactory):
    home = Home(tmp_path_factory.mktemp("killed") / "home")
    digest, _ = prepare_base(home, Base.model_validate(TINY))
    body = {"model": "base", "messages": PROMPT, "max_tokens": 3}
    with Server(home, digest) as server:

        def ask() -> str:
            return httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60).json()["id"]

        ids = [ask() for _ in range(5)]
        with locked(home):  # else the row might be in the database before the kill
            ids.append(ask())
            kill(server)
            assert count(home, interactions, ids[-1:]) == 0
    with Server(home, digest) as server:
        thumb = {"inference_id": ids[-1], "kind": "thumb", "value": True, "idempotency_key": "k"}
        assert httpx.post(f"{server.url}/v1/feedback", json=thumb, timeout=60).json()["stored"]
    assert in_order(home, ids) == ids


@pytest.mark.slow
def test_a_server_that_is_told_to_end_finishes_its_answers_and_delivers_next_time(
    tmp_path_factory: pytest.TempPathFactory,
):
    home = Home(tmp_path_factory.mktemp("drained") / "home")
    digest, _ = prepare_base(home, Base.model_validate(TINY))
    body = {
        "model": "base",
        "messages": PROMPT,
        "max_tokens": 200,
        "temperature": 1.5,
        "seed": 1,
        "stream": True,
    }
    with Server(home, digest) as server, locked(home):
        with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=60) as stream:
            lines = stream.iter_lines()
            next(lines)
            ending = threading.Thread(target=server.stop)
            ending.start()
            rest = list(lines)
            name = stream.headers["x-ft-inference-id"]
        ending.join()
        assert "data: [DONE]" in rest
        assert count(home, interactions, [name]) == 0
    with Server(home, digest):
        until(lambda: count(home, interactions, [name]) == 1, seconds=20)
