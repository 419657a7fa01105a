"""Postgres dies or hangs under a real server that is asked without pause, and comes back.

`FT_ASSETS_OUTAGE_SECONDS` is how long it is away (default 3).
"""

import asyncio
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy import event

from ft_assets.bases.base_models import prepare_base
from ft_assets.recipe import Base
from ft_assets.registry.ledger import latest_entry
from ft_assets.registry.rollback import rollback
from ft_assets.serving import deliverer as deliverer_module
from ft_assets.serving.deliverer import FEEDBACK_SECONDS, Deliverer
from ft_assets.serving.launch import STOP_SECONDS, Server
from ft_assets.serving.recording import keep_answer
from ft_assets.storage.home import Home
from ft_assets.storage.tables import feedback, interactions
from ft_assets_tests.postgres import PROGRAMS, Postgres, fresh_database
from ft_assets_tests.serving.conftest import PROMPT, TINY, until
from ft_assets_tests.serving.factory import make_adapter, promote, release_adapter
from ft_assets_tests.serving.test_deliverer import interaction, thumb

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not all(map(shutil.which, PROGRAMS)), reason="no Postgres server is installed"),
]
How = Literal["fast", "immediate", "hanging"]
AWAY = float(os.environ.get("FT_ASSETS_OUTAGE_SECONDS", "3"))
USERS = 4


@dataclass
class Traffic:
    """Users who ask, judge the answer, and ask again. `seen`: (when it was answered, inference id, by whom)."""

    url: str
    seen: list[tuple[float, str, str]] = field(default_factory=list)
    slowest: float = 0.0
    over: threading.Event = field(default_factory=threading.Event)

    def user(self, number: int) -> None:
        body = {"model": "tiny", "messages": PROMPT, "max_tokens": 4, "user": f"user-{number}"}
        with httpx.Client(base_url=self.url, timeout=60) as http:
            while not self.over.is_set():
                began = time.monotonic()
                answer = http.post("/v1/chat/completions", json=body)
                assert answer.status_code == 200, answer.text
                self.seen.append((time.time(), answer.json()["id"], answer.headers["x-ft-adapter"]))
                thumb = {"inference_id": answer.json()["id"], "kind": "thumb", "value": True}
                said = http.post("/v1/feedback", json={**thumb, "idempotency_key": answer.json()["id"]})
                assert said.status_code in (200, 202), said.text
                self.slowest = max(self.slowest, time.monotonic() - began)


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture
def home(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    with fresh_database(postgres.url) as url:
        monkeypatch.setenv("FT_ASSETS_DATABASE_URL", url)
        yield Home(tmp_path / "home")


@pytest.mark.timeout(120 + 5 * AWAY)
@pytest.mark.parametrize("how", ["fast", "immediate", "hanging"])
def test_answers_go_on_and_every_row_arrives_once(home: Home, postgres: Postgres, how: How) -> None:
    base, folder = prepare_base(home, Base.model_validate(TINY))
    good, bad = (release_adapter(home, "tiny", make_adapter(home, folder, seed), base) for seed in (1, 2))
    promote(home, "tiny", good)
    promote(home, "tiny", bad)
    with Server(home, base) as server, ThreadPoolExecutor(USERS) as pool:
        traffic = Traffic(server.url)
        users = [pool.submit(traffic.user, number) for number in range(USERS)]
        try:
            until(lambda: len(traffic.seen) > 20, seconds=20)
            left, back = _away(postgres, how)
            moved = rollback(home, "tiny", None, "ada", "it was worse")
            decided = _decided(home)
            until(lambda: any(at > decided + 2 for at, *_ in traffic.seen), seconds=10)
        finally:
            traffic.over.set()
        for user in users:
            user.result()
        ids = [name for _, name, _ in traffic.seen]
        until(lambda: Counter(_kept(home, interactions)) == Counter(ids), seconds=20 + 2 * AWAY)
        until(lambda: Counter(_kept(home, feedback)) == Counter(ids), seconds=20 + 2 * AWAY)
        assert _waiting_inside(home) == 0
    assert moved.champion == good
    assert {who for at, _, who in traffic.seen if at < back} == {bad}
    late = max(at for at, _, who in traffic.seen if who == bad) - decided
    during = sum(left < at < back for at, *_ in traffic.seen)
    print(
        f"\n{how}: {during} answers in {back - left:.1f} s without Postgres, the slowest with its feedback "
        f"{traffic.slowest:.2f} s; the last by the old adapter {late:.2f} s after the rollback"
    )
    assert during > 10
    assert traffic.slowest < FEEDBACK_SECONDS + 3
    assert late < 2


def test_what_was_committed_while_it_hung_is_not_stored_again(
    home: Home, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliverer_module, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(deliverer_module, "FEEDBACK_SECONDS", 0.5)
    deliverer = Deliverer(home)
    keep_answer(deliverer.journal, interaction())
    deliverer.deliver()
    with ExitStack() as frozen:

        def freeze(_: sa.Connection) -> None:  # just before the row is committed
            frozen.enter_context(postgres.hanging())

        event.listen(home.database.engine, "commit", freeze)
        assert asyncio.run(deliverer.feedback(thumb("chat-1"))) is None
        event.remove(home.database.engine, "commit", freeze)
        deliverer._writer.submit(lambda: None).result(20)  # the writer has given up
    until(lambda: _kept(home, feedback))
    deliverer.deliver()
    assert _kept(home, feedback) == ["chat-1"]
    assert deliverer.journal.waiting() == []
    deliverer.close()


@pytest.mark.timeout(120)
def test_a_server_told_to_end_while_it_hangs_ends_and_the_next_delivers(
    home: Home, postgres: Postgres
) -> None:
    base, _ = prepare_base(home, Base.model_validate(TINY))
    body: dict[str, Any] = {"model": "base", "messages": PROMPT, "max_tokens": 4}
    with (
        Server(home, base) as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
        postgres.hanging(),
    ):
        ids = [http.post("/v1/chat/completions", json=body).json()["id"] for _ in range(5)]
        for name in ids:
            thumb_up = {"inference_id": name, "kind": "thumb", "value": True, "idempotency_key": name}
            assert http.post("/v1/feedback", json=thumb_up).json()["queued"]
        began = time.monotonic()
        server.stop()
        print(f"\nstopped in {time.monotonic() - began:.1f} s")
        assert time.monotonic() - began < 2 * STOP_SECONDS
    with Server(home, base):
        until(lambda: Counter(_kept(home, feedback)) == Counter(ids), seconds=20)
    assert Counter(_kept(home, interactions)) == Counter(ids)


def _away(postgres: Postgres, how: How) -> tuple[float, float]:
    """When Postgres had ended or hung, and when it was told to go on."""
    with postgres.hanging() if how == "hanging" else _stopped(postgres, how):
        left = time.time()
        until(lambda: time.time() > left + AWAY, seconds=AWAY + 5)
        return left, time.time()


@contextmanager
def _stopped(postgres: Postgres, how: Literal["fast", "immediate"]) -> Iterator[None]:
    postgres.stop(how)
    yield
    postgres.start()


def _decided(home: Home) -> float:
    entry = latest_entry(home, "tiny")
    assert entry is not None
    return entry.at.timestamp()


def _kept(home: Home, table: sa.Table) -> list[str]:
    return [row["inference_id"] for row in home.database.rows(sa.select(table.c.inference_id))]


def _waiting_inside(home: Home) -> int:
    """Connections that hold a transaction open and do nothing."""
    with home.database.read() as connection:
        return connection.scalar(
            sa.text("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
        )
