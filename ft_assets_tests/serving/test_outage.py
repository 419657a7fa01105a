"""A database that is away for a while, and a server that is told to end: nobody's answer is lost."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import httpx
import pytest
import sqlalchemy as sa

from ft_assets.bases.base_models import prepare_base
from ft_assets.recipe import Base
from ft_assets.serving.launch import Server
from ft_assets.storage.home import Home
from ft_assets.storage.tables import feedback, interactions
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


def test_answers_and_feedback_given_while_the_database_is_locked_arrive_once_it_is_back(guarded: Guarded):
    spool = guarded.home.scratch / "serving" / "spool.jsonl"
    with locked(guarded.home):
        answers = [guarded.ask("ann") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert answers[-1].elapsed.total_seconds() < 2  # only the first one waits for the lock
        ids = [answer.json()["id"] for answer in answers]
        said = [guarded.thumb("ann", name, f"outage-{name}") for name in ids + ids]
        assert {reply.status_code for reply in said} == {202}
        assert count(guarded.home, interactions, ids) == 0
        assert len(spool.read_bytes().splitlines()) == 15
    until(lambda: spool.stat().st_size == 0, seconds=20)
    assert count(guarded.home, interactions, ids) == 5
    assert count(guarded.home, feedback, ids) == 5
    late = guarded.ask("ann").json()["id"]
    assert count(guarded.home, interactions, [late]) == 1


@pytest.mark.slow
def test_a_server_that_is_told_to_end_finishes_its_answers_and_delivers_next_time(tmp_path_factory):
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
