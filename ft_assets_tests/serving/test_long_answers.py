"""An answer in one piece ends before BentoML gives it up; a stream goes on."""

import asyncio

import httpx
import pytest
import sqlalchemy as sa

from ft_assets.serving import answers
from ft_assets.serving.app import build_app
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
