"""Recording must never cost an answer, every row arrives once, and a log must never hold what users said."""

import asyncio
import logging
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ft_assets.serving import deliverer as module
from ft_assets.serving.deliverer import Deliverer
from ft_assets.serving.feedback import Feedback
from ft_assets.serving.metrics import RECORDING_FAILURES
from ft_assets.serving.problems import ApiProblem
from ft_assets.serving.recording import Interaction, keep_answer
from ft_assets.storage.home import Home
from ft_assets.storage.tables import feedback, interactions


def interaction(name: str = "chat-1", **more: Any) -> Interaction:
    row: dict[str, Any] = {
        "inference_id": name,
        "model": "m",
        "address": "base",
        "rollout": None,
        "user": "0" * 64,
        "messages": [{"role": "user", "content": "a secret of the user"}],
        "answer": "hello",
        "slice": "default",
        "prompt_tokens": 3,
        "answer_tokens": 2,
        "latency_ms": 1.5,
        "error": None,
        "created_at": datetime.now(UTC),
    }
    return Interaction(**{**row, **more})


def thumb(about: str) -> Feedback:
    said = {"inference_id": about, "kind": "thumb", "value": "up", "idempotency_key": f"on-{about}"}
    by = {"author": None, "api_key": None, "any_answer": True, "received_at": datetime.now(UTC)}
    return Feedback(**said, **by)


def recorded(home: Home) -> list[str]:
    """Ids of all answers in the database, in the order in which they arrived."""
    arrival = sa.text("rowid" if on_sqlite(home) else "ctid")
    query = sa.select(interactions.c.inference_id).order_by(arrival)
    return [row["inference_id"] for row in home.database.rows(query)]


def on_sqlite(home: Home) -> bool:
    return home.database.engine.dialect.name == "sqlite"


def said(home: Home) -> list[str]:
    """Ids of all answers that feedback is about."""
    return [row["inference_id"] for row in home.database.rows(sa.select(feedback.c.inference_id))]


def failures() -> float:
    return RECORDING_FAILURES._value.get()


@contextmanager
def away(home: Home) -> Iterator[None]:
    """A database without its tables."""
    with home.database.write() as connection:
        connection.execute(sa.text("ALTER TABLE interactions RENAME TO gone"))
    yield
    with home.database.write() as connection:
        connection.execute(sa.text("ALTER TABLE gone RENAME TO interactions"))


@contextmanager
def full_disk() -> Iterator[None]:
    """The operating system refuses to let this process's files grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def deliverer(home: Home) -> Iterator[Deliverer]:
    made = Deliverer(home)
    yield made
    made.close()


def test_a_row_arrives_with_all_that_it_says(home: Home, deliverer: Deliverer):
    given = interaction(shadow=True, pair="chat-0", api_key="key", error="broken")
    keep_answer(deliverer.journal, given)
    deliverer.deliver()
    assert home.database.row(sa.select(interactions)) == vars(given)


def test_recording_waits_for_no_database_and_rows_arrive_once_and_in_order(
    home: Home, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "LOCK_SECONDS", 0.01)
    monkeypatch.setattr(module, "AWAY_LOCK_SECONDS", 0.01)
    names = [f"chat-{number}" for number in range(300)]
    deliverer.deliver()

    async def load() -> float:
        slowest = 0.0
        for name in names:
            began = time.perf_counter()
            keep_answer(deliverer.journal, interaction(name))
            slowest = max(slowest, time.perf_counter() - began)
            await asyncio.sleep(0)
        return slowest

    async def scenario() -> None:
        delivering = asyncio.create_task(deliverer.keep_delivering(lambda: None))
        with home.database.write() as holder:
            if not on_sqlite(home):
                holder.execute(sa.text("LOCK TABLE interactions IN EXCLUSIVE MODE"))
            assert await load() < 0.5
            await asyncio.to_thread(deliverer._writer.submit(deliverer.deliver).result)
            assert recorded(home) == []
        while len(recorded(home)) < len(names):
            await asyncio.sleep(0.01)
        delivering.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 20))
    assert recorded(home) == names


def test_what_waits_is_delivered_again_after_a_crash_and_is_there_once(
    home: Home, deliverer: Deliverer, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    with away(home):
        for name in ("chat-1", "chat-2"):
            keep_answer(deliverer.journal, interaction(name))
        assert asyncio.run(deliverer.feedback(thumb("chat-2"))) is None
        kept = {file: file.read_bytes() for file in deliverer.journal.waiting()}
    deliverer.deliver()
    assert deliverer.journal.waiting() == []
    for file, content in kept.items():  # as if it had crashed before it forgot them
        file.write_bytes(content)
    keep_answer(deliverer.journal, interaction("chat-3"))
    deliverer.deliver()
    assert recorded(home) == ["chat-1", "chat-2", "chat-3"]
    assert said(home) == ["chat-2"]
    assert "delivered later: no such table" in caplog.text or not on_sqlite(home)
    assert "takes rows again" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("poison", [{"slice": None}, {"prompt_tokens": 2**70}, {"answer": "\ud800"}])
def test_a_row_that_no_database_takes_keeps_no_other_waiting(
    home: Home, deliverer: Deliverer, caplog: pytest.LogCaptureFixture, poison: dict[str, Any]
):
    before = failures()
    for number in range(9):
        keep_answer(deliverer.journal, interaction(f"chat-{number}", **(poison if number == 4 else {})))
    deliverer.deliver()
    assert recorded(home) == [f"chat-{number}" for number in range(9) if number != 4]
    assert failures() == before + 1
    assert "what belongs to chat-4 was not recorded" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("line", [b"7\n", b'{"table": "interactions"}\n', b"{}\n", b'{"half a li'])
def test_a_line_that_is_no_row_is_left_out(home: Home, deliverer: Deliverer, line: bytes):
    keep_answer(deliverer.journal, interaction())
    deliverer.journal.seal()
    (file,) = deliverer.journal.waiting()
    file.write_bytes(line + b"\n" + file.read_bytes() + line)
    deliverer.deliver()
    assert recorded(home) == ["chat-1"]
    assert deliverer.journal.waiting() == []


def test_a_full_disk_costs_rows_but_no_answer(
    home: Home, deliverer: Deliverer, caplog: pytest.LogCaptureFixture
):
    keep_answer(deliverer.journal, interaction("chat-1"))
    before = failures()
    with away(home):
        deliverer.deliver()
        with full_disk():
            keep_answer(deliverer.journal, interaction("chat-2"))
            with pytest.raises(ApiProblem) as refused:
                asyncio.run(deliverer.feedback(thumb("chat-1")))
    assert (refused.value.status, refused.value.code) == (503, "not_stored")
    assert failures() == before + 2
    assert "what belongs to chat-2 was not recorded: File too large" in caplog.text
    assert "secret" not in caplog.text
    keep_answer(deliverer.journal, interaction("chat-3"))
    deliverer.deliver()
    assert recorded(home) == ["chat-1", "chat-3"]


def test_a_folder_that_cannot_be_made_costs_rows_but_no_answer(home: Home):
    (home.scratch / "serving").write_text("a file where the folder should be")
    before, deliverer = failures(), Deliverer(home)
    keep_answer(deliverer.journal, interaction())
    deliverer.close()
    assert failures() == before + 1
    assert recorded(home) == []


def test_what_a_server_leaves_is_delivered_by_the_next(home: Home):
    with away(home):
        left = Deliverer(home)
        keep_answer(left.journal, interaction())
        left.close()
    heir = Deliverer(home)

    async def scenario() -> None:
        delivering = asyncio.create_task(heir.keep_delivering(lambda: None))
        assert await heir.feedback(thumb("chat-1")) is not False
        while not said(home):
            await asyncio.sleep(0.01)
        delivering.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 20))
    heir.close()
    assert recorded(home) == ["chat-1"]
    assert list((home.scratch / "serving" / "journal").iterdir()) == []


def test_feedback_finds_an_answer_whose_row_is_still_on_its_way(home: Home, deliverer: Deliverer):
    keep_answer(deliverer.journal, interaction())
    assert asyncio.run(deliverer.feedback(thumb("chat-1"))) is True
    assert asyncio.run(deliverer.feedback(thumb("chat-1"))) is False


def test_feedback_waits_for_an_answer_that_another_server_has_just_given(home: Home, deliverer: Deliverer):
    another = Deliverer(home)
    another.deliver()

    async def scenario() -> bool | None:
        keep_answer(another.journal, interaction())
        hearing = asyncio.create_task(deliverer.feedback(thumb("chat-1")))
        await deliverer_has_looked(deliverer)
        assert not hearing.done()
        another.deliver()
        return await hearing

    assert asyncio.run(asyncio.wait_for(scenario(), 20)) is True
    assert said(home) == ["chat-1"]
    another.close()


async def deliverer_has_looked(deliverer: Deliverer) -> None:
    """Return once the writer's thread has done what it was given."""
    await asyncio.sleep(0)
    await asyncio.wrap_future(deliverer._writer.submit(lambda: None))


def test_feedback_on_an_answer_of_nobody_is_refused_at_once_or_soon(
    home: Home, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
):
    def refused() -> float:
        began = time.monotonic()
        with pytest.raises(ApiProblem) as problem:
            asyncio.run(deliverer.feedback(thumb("chat-of-nobody")))
        assert problem.value.status == 404
        return time.monotonic() - began

    monkeypatch.setattr(module, "UNKNOWN_SECONDS", 0.2)
    deliverer.deliver()
    alone = refused()
    another = Deliverer(home)
    keep_answer(another.journal, interaction())
    assert (alone < 0.2) == on_sqlite(home)  # else a server on another machine may have answered
    assert 0.2 <= refused() < 3
    another.close()


def test_feedback_that_waited_on_disk_waits_for_its_answer_too(home: Home, deliverer: Deliverer):
    another = Deliverer(home)
    with away(home):
        keep_answer(another.journal, interaction())
        deliverer.deliver()
        keep_answer(deliverer.journal, interaction("chat-2"))
        deliverer.deliver()
        assert asyncio.run(deliverer.feedback(thumb("chat-1"))) is None
    deliverer.deliver()
    assert (recorded(home), said(home)) == (["chat-2"], [])
    another.close()
    deliverer.deliver()
    assert (recorded(home), said(home)) == (["chat-2", "chat-1"], ["chat-1"])


def test_feedback_that_waits_on_is_on_the_disk_before_the_file_that_held_it_is_gone(
    home: Home, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
):
    another = Deliverer(home)
    with away(home):
        keep_answer(another.journal, interaction())
        keep_answer(deliverer.journal, interaction("chat-2"))
        deliverer.deliver()
        assert asyncio.run(deliverer.feedback(thumb("chat-1"))) is None
    done, fsync, unlink = [], os.fsync, Path.unlink
    monkeypatch.setattr(os, "fsync", lambda number: (done.append("sync"), fsync(number)))
    monkeypatch.setattr(Path, "unlink", lambda path: (done.append("unlink"), unlink(path)))
    deliverer.deliver()
    monkeypatch.undo()
    assert done[-2:] == ["sync", "unlink"]
    another.close()


def test_feedback_that_waited_and_is_about_nothing_is_given_up(
    home: Home, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "LATE_SECONDS", 0.0)
    before = failures()
    with away(home):
        keep_answer(deliverer.journal, interaction("chat-1"))
        deliverer.deliver()
        asyncio.run(deliverer.feedback(thumb("chat-of-nobody")))
        keep_answer(deliverer.journal, interaction("chat-2"))
    deliverer.deliver()
    assert (recorded(home), said(home)) == (["chat-1", "chat-2"], [])
    assert failures() == before + 1
    assert deliverer.journal.waiting() == []


def test_a_long_backlog_lets_feedback_in_between(
    home: Home, deliverer: Deliverer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "FILES_AT_ONCE", 2)
    names = [f"chat-{number}" for number in range(5)]
    with away(home):
        for name in names:
            keep_answer(deliverer.journal, interaction(name))
            deliverer.deliver()
    deliverer.deliver()
    assert recorded(home) == names[:2]
    assert asyncio.run(deliverer.feedback(thumb("chat-4"))) is None
    for _ in range(3):
        deliverer.deliver()
    assert (recorded(home), said(home)) == (names, ["chat-4"])
    assert asyncio.run(deliverer.feedback(thumb("chat-4"))) is False
