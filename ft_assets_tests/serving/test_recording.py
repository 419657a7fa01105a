"""Recording must never cost an answer, and a log must never hold what users said."""

import asyncio
import logging
import threading
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from ft_assets.serving import recording
from ft_assets.serving.recording import Interaction, Recorder
from ft_assets.storage.home import Home
from ft_assets.storage.tables import interactions


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


def test_a_row_that_cannot_be_written_is_logged_without_its_content(
    home: Home, caplog: pytest.LogCaptureFixture
):
    async def scenario() -> None:
        recorder = Recorder(home)
        with home.database.write() as connection:
            connection.execute(sa.text("DROP TABLE interactions"))
        await recorder.record(interaction())
        recorder.close()

    with caplog.at_level(logging.DEBUG):
        asyncio.run(scenario())
    assert "chat-1 was not recorded: no such table" in caplog.text
    assert "secret" not in caplog.text


def test_a_locked_database_delays_an_answer_only_so_long_and_the_row_comes_later(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(recording, "PATIENCE_SECONDS", 0.05)
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
