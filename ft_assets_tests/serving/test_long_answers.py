"""An answer in one piece ends before BentoML gives it up; a stream goes on. What is given up empty has failed."""

import asyncio
import threading

import httpx
import pytest
import sqlalchemy as sa

from ft_assets.serving import answers
from ft_assets.serving.app import build_app
from ft_assets.serving.engine import EngineThread
from ft_assets.serving.runtime import BASE_ENV, Runtime
from ft_assets.storage.tables import interactions
from ft_assets_tests.serving.conftest import PROMPT, Installation

QUESTION = {"model": "base", "messages": PROMPT, "max_tokens": 5, "user": "patient"}


def test_it_is_cut_off_in_time_and_is_no_failure(installation: Installation, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(BASE_ENV, installation.base)
    monkeypatch.setattr(answers, "WHOLE_SECONDS", 0.0)

    async def scenario() -> None:
        app = build_app(())
        app.state.runtime = await Runtime.start(installation.home)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as client:
            whole = (await client.post("/v1/chat/completions", json=QUESTION)).json()
            told = {"stream": True, "stream_options": {"include_usage": True}}
            streamed = await client.post("/v1/chat/completions", json={**QUESTION, **told})
        await app.state.runtime.stop()
        assert (whole["usage"]["completion_tokens"], whole["choices"][0]["finish_reason"]) == (1, "length")
        assert '"completion_tokens":5' in streamed.text and streamed.text.endswith("data: [DONE]\n\n")
        query = sa.select(interactions).where(interactions.c.inference_id == whole["id"])
        (row,) = installation.home.database.rows(query)
        assert (row["error"], row["cancelled"], row["answer_tokens"]) == (None, False, 1)

    asyncio.run(scenario())


@pytest.mark.parametrize(("streamed", "patience"), [(True, 0.2), (False, 0.2), (True, 60.0)])
def test_who_gives_up_before_anything_came_has_seen_a_failure_only_after_long(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, streamed: bool, patience: float
):
    from bentoml._internal.server.http.traffic import TimeoutMiddleware

    monkeypatch.setenv(BASE_ENV, installation.base)
    monkeypatch.setattr(answers, "WHOLE_SECONDS", patience)
    go_on, user = threading.Event(), f"impatient {streamed} {patience}"

    async def scenario() -> None:
        app = build_app(())
        runtime = app.state.runtime = await Runtime.start(installation.home)
        assert isinstance(runtime.engine, EngineThread)
        held = asyncio.create_task(runtime.engine.call(lambda _: go_on.wait()))
        transport = httpx.ASGITransport(TimeoutMiddleware(app, timeout=0.3))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3000") as client:
            asked = {**QUESTION, "user": user, "stream": streamed}
            assert (await client.post("/v1/chat/completions", json=asked)).status_code == 504
        go_on.set()
        await held
        await runtime.stop()
        query = sa.select(interactions).where(interactions.c.user == runtime.users.of(user))
        (row,) = installation.home.database.rows(query)
        assert (row["cancelled"], row["error"] is None) == (
            (True, True) if patience == 60.0 else (False, False)
        )

    asyncio.run(scenario())
