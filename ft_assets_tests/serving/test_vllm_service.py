"""The whole service with vLLM's protocol behind it, as a person starts it."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from ft_assets.errors import Refused
from ft_assets.serving.launch import Server
from ft_assets.sources.example import Message
from ft_assets_tests.serving.conftest import PROMPT, Installation


@pytest.fixture
def vllm(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    from ft_assets_tests.serving.vllm_server import VllmServer

    server = VllmServer(installation.folder)
    server.start()
    monkeypatch.setenv("FT_ASSETS_VLLM_URL", server.url)
    yield server
    server.stop()
    asyncio.run(server.engine.stop())


def told(vllm, adapter: str | None) -> str:
    """What the engine behind vLLM's protocol says, asked directly."""
    from ft_assets.evaluation.generation import Request

    async def text() -> str:
        wanted = Request([Message.model_validate(turn) for turn in PROMPT], adapter, 6)
        return "".join([token.text async for token in vllm.engine.stream(wanted)])

    return asyncio.run(text())


def test_a_server_without_weights_answers_as_one_with_them(vllm, installation: Installation):
    address = installation.release("vllm", 1)[0]
    with Server(installation.home, installation.base) as server, httpx.Client(base_url=server.url) as http:
        for model, adapter in [("base", None), (address, installation.adapters[0])]:
            body = {"model": model, "messages": PROMPT, "max_tokens": 6}
            answer = http.post("/v1/chat/completions", json=body, timeout=60)
            assert answer.headers["x-ft-adapter"] == model
            assert answer.json()["choices"][0]["message"]["content"] == told(vllm, adapter)
        assert http.get("/readyz").status_code == 200
    assert installation.adapters[0] in vllm.loaded  # and those that other tests have routed
    assert not {"stop", "messages"} & set(vllm.asked[-1])


def test_it_does_not_start_on_another_base(vllm, installation: Installation, monkeypatch: pytest.MonkeyPatch):
    from ft_assets.serving.runtime import Runtime

    monkeypatch.setenv("FT_ASSETS_BASE", installation.base)
    vllm.root = "/bases/another"
    with pytest.raises(Refused, match="vLLM serves /bases/another"):
        asyncio.run(Runtime.start(installation.home))
