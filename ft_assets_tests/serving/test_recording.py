"""Recording must never cost an answer, and a log must never hold what users said."""

import asyncio
import logging
import threading
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from ft_assets.serving import recording
from ft_assets.serving.feedback import Feedback
from ft_assets.serving.recording import Interaction, Recorder
from ft_assets.storage.home import Home
from ft_assets.storage.tables import feedback, interactions


def interaction(name: str = "chat-1") -> Interaction:
    return Interaction(
        inference_id=name,
        model="m",
        address="base",
        rollout=None,
        user="0" * 64,
        messages=[{"role": "user", "content": "a secret of the user"}],
        answer="hello",
        slice="default",
        prompt_tokens=3,
        answer_tokens=2,
        latency_ms=1.5,
        error=None,
        created_at=datetime.now(UTC),
    )


def test_a_recorded_row_is_committed_on_return(home: Home):
    async def scenario() -> None:
        await Recorder(home).record(interaction())
        row = home.database.row(sa.select(interactions))
        assert row is not None
        assert row["messages"] == [{"role": "user", "content": "a secret of the user"}]

    asyncio.run(scenario())


def rename(home: Home, old: str, new: str) -> None:
    with home.database.write() as connection:
        connection.execute(sa.text(f"ALTER TABLE {old} RENAME TO {new}"))


def test_what_cannot_be_written_waits_on_disk_and_arrives_once_and_in_order(
    home: Home, caplog: pytest.LogCaptureFixture
):
    rename(home, "interactions", "gone")

    async def scenario() -> None:
        recorder = Recorder(home)
        for name in ("chat-1", "chat-2"):
            await recorder.record(interaction(name))
        about = {"inference_id": "chat-2", "kind": "thumb", "value": "up", "idempotency_key": "k"}
        by = {"author": None, "api_key": None, "any_answer": True, "received_at": datetime.now(UTC)}
        assert await recorder.feedback(Feedback(**about, **by)) is None
        recorder.deliver()
        rename(home, "gone", "interactions")
        waiting = (home.scratch / "serving" / "spool.jsonl").read_bytes()
        recorder.deliver()
        (home.scratch / "serving" / "spool.jsonl").write_bytes(
            waiting
        )  # as if it crashed before it forgot them
        recorder.deliver()
        await recorder.record(interaction("chat-3"))
        recorder.close()

    with caplog.at_level(logging.DEBUG):
        asyncio.run(scenario())
    rows = home.database.rows(sa.select(interactions).order_by(interactions.c.inference_id))
    assert [row["inference_id"] for row in rows] == ["chat-1", "chat-2", "chat-3"]
    assert rows[0]["messages"] == rows[2]["messages"]
    assert [row["value"] for row in home.database.rows(sa.select(feedback))] == ["up"]
    assert "chat-1 goes to disk: no such table" in caplog.text
    assert "secret" not in caplog.text


def test_feedback_that_will_never_be_taken_does_not_keep_others_waiting(home: Home):
    async def scenario() -> None:
        recorder = Recorder(home)
        rename(home, "interactions", "gone")
        about = {"inference_id": "chat-of-nobody", "kind": "thumb", "value": "up", "idempotency_key": "k"}
        by = {"author": None, "api_key": None, "any_answer": True, "received_at": datetime.now(UTC)}
        await recorder.feedback(Feedback(**about, **by))
        await recorder.record(interaction())
        rename(home, "gone", "interactions")
        recorder.deliver()
        recorder.close()

    asyncio.run(scenario())
    assert len(home.database.rows(sa.select(interactions))) == 1
    assert home.database.rows(sa.select(feedback)) == []


def test_a_locked_database_delays_an_answer_only_so_long_and_the_row_comes_later(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recording, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(recording, "LOCK_SECONDS", 30.0)
    home.database.rows(sa.select(interactions))

    async def scenario() -> None:
        recorder = Recorder(home)
        locked, let_go = threading.Event(), threading.Event()

        def hold_the_lock() -> None:
            with home.database.write():
                locked.set()
                let_go.wait(30)

        holder = asyncio.create_task(asyncio.to_thread(hold_the_lock))
        await asyncio.to_thread(locked.wait)
        await recorder.record(interaction())
        assert home.database.rows(sa.select(interactions)) == []
        let_go.set()
        await holder
        await asyncio.to_thread(recorder.close)
        assert len(home.database.rows(sa.select(interactions))) == 1

    asyncio.run(scenario())
