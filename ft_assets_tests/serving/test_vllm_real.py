"""A real vLLM on this machine, where `FT_ASSETS_TEST_VLLM_URL` names one: see docs/vllm.md for how to start it."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import httpx
import pytest

from ft_assets.sources.example import Message
from ft_assets.storage.home import Home
from ft_assets_tests.serving.factory import make_adapter

URL = os.environ.get("FT_ASSETS_TEST_VLLM_URL", "")
PROMPTS = [f"Say in one line what `{name}` of Python does." for name in dir(str)[-20:]]
ROOM = 1024

pytestmark = [
    pytest.mark.skipif(not URL, reason="FT_ASSETS_TEST_VLLM_URL names no vLLM"),
    pytest.mark.timeout(1800),
]


@pytest.fixture(scope="module")
def base() -> Path:
    """The folder that vLLM read its base from."""
    cards = httpx.get(f"{URL}/v1/models", trust_env=False).json()["data"]
    return next(Path(card["root"]) for card in cards if card["parent"] is None)


@pytest.fixture(scope="module")
def adapters(base: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    home = Home(tmp_path_factory.mktemp("vllm") / "home")
    return [
        home.artifacts.path("adapters", make_adapter(home, base, seed, scale)).resolve()
        for seed, scale in [(1, 0.1), (2, 0.1), (3, float("inf"))]
    ]


def request(text: str, adapter: str | None, tokens: int, **more):
    from ft_assets.evaluation.generation import Request

    return Request([Message(role="user", content=text)], adapter, tokens, **more)


async def tokens_of(engine, wanted) -> list:
    return [token async for token in engine.stream(wanted)]


def run(base: Path, adapters: list[Path], scenario: Callable[..., Awaitable[None]]) -> None:
    """Play a scenario with an engine that has every adapter, and leave vLLM without them."""
    from ft_assets.serving.vllm_base import Wanted
    from ft_assets.serving.vllm_engine import VllmEngine

    async def play() -> None:
        engine = await VllmEngine.connect(URL, Wanted(base, ROOM))
        try:
            for folder in adapters:
                await engine.add_adapter(folder.name, folder)
            await scenario(engine)
            for folder in adapters:
                await engine.drop_adapter(folder.name)
        finally:
            await engine.stop()

    asyncio.run(play())


def running() -> float:
    """Requests that vLLM works on."""
    lines = httpx.get(f"{URL}/metrics", trust_env=False).text.splitlines()
    counts = [line.split()[-1] for line in lines if line.startswith("vllm:num_requests_running")]
    return sum(map(float, counts))


def test_greedy_answers_are_those_of_our_engine(base: Path, adapters: list[Path]):
    """All of them where both compute in float32; `pytest -s` prints how many."""
    from ft_assets.evaluation.generation import Engine

    ours = Engine.load(base)
    for folder in adapters[:2]:
        ours.add_adapter(folder.name, folder)

    async def scenario(engine) -> None:
        for name in (None, *(folder.name for folder in adapters[:2])):
            wanted = [request(text, name, 16) for text in PROMPTS]
            theirs = await asyncio.gather(*(tokens_of(engine, each) for each in wanted))
            texts = ["".join(token.text for token in answer) for answer in theirs]
            own = ours.generate(wanted)
            alike = sum(
                text == answer.text and told[-1].finish == answer.finish
                for text, told, answer in zip(texts, theirs, own, strict=True)
            )
            print(f"{name or 'base'}: {alike} of {len(own)} answers alike")
            assert alike > len(own) / 2

    run(base, adapters[:2], scenario)


def test_a_seed_gives_the_same_answer_again(base: Path, adapters: list[Path]):
    async def scenario(engine) -> None:
        name = adapters[0].name
        wanted = request(PROMPTS[0], name, 12, temperature=1.0, top_p=0.9, seed=5, logprobs=3)
        told = [await tokens_of(engine, wanted) for _ in range(2)]
        assert [token.token_id for token in told[0]] == [token.token_id for token in told[1]]
        assert all(len(token.odds) == 4 for token in told[0])

    run(base, adapters[:1], scenario)


def test_closing_a_stream_ends_the_work_over_there(base: Path, adapters: list[Path]):
    async def scenario(engine) -> None:
        async with aclosing(engine.stream(request(PROMPTS[0], adapters[0].name, 900))) as tokens:
            for _ in range(3):
                await anext(tokens)
            assert await asyncio.to_thread(running) == 1
        async with asyncio.timeout(10):
            while await asyncio.to_thread(running):
                await asyncio.sleep(0.1)

    run(base, adapters[:1], scenario)


def test_a_lost_adapter_is_loaded_again_by_whoever_asks(base: Path, adapters: list[Path]):
    async def scenario(engine) -> None:
        name = adapters[0].name
        before = await tokens_of(engine, request(PROMPTS[0], name, 8))
        httpx.post(f"{URL}/v1/unload_lora_adapter", json={"lora_name": name}, trust_env=False)
        after = await tokens_of(engine, request(PROMPTS[0], name, 8))
        assert [token.token_id for token in before] == [token.token_id for token in after]

    run(base, adapters[:1], scenario)


def test_weights_that_give_no_number_are_noticed(base: Path, adapters: list[Path]):
    """The last test: vLLM must be started anew after it, as others get the cache blocks that it leaves behind."""
    from ft_assets.serving.engine import EngineFailed

    async def scenario(engine) -> None:
        with pytest.raises(EngineFailed, match="broken"):
            await tokens_of(engine, request(PROMPTS[0], adapters[2].name, 8))
        assert engine.alive
        others = (tokens_of(engine, request(text, adapters[0].name, 4)) for text in PROMPTS)
        answers = await asyncio.gather(*others, return_exceptions=True)
        broken = sum(isinstance(answer, EngineFailed) for answer in answers)
        print(f"{broken} of {len(answers)} answers of another adapter were broken by it")

    run(base, adapters, scenario)
