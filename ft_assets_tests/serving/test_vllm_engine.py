"""vLLM as the engine, in the person of a server that speaks its protocol over the real tiny model."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ft_assets.errors import BrokenEnvironment, Refused
from ft_assets.sources.example import Message
from ft_assets_tests.serving.conftest import Installation

TOKENS = 12


@pytest.fixture(scope="module")
def one_server(installation: Installation) -> Iterator:
    from ft_assets_tests.serving.vllm_server import VllmServer

    server = VllmServer(installation.folder)
    yield server
    asyncio.run(server.engine.stop())


@pytest.fixture
def vllm(one_server, installation: Installation) -> Iterator:
    """The server as it is when nothing is wrong, listening."""
    one_server.root, one_server.max_model_len, one_server.updating = str(installation.folder), 1 << 20, True
    one_server.fails = one_server.breaks_after = None
    one_server.asked.clear()
    one_server.start()
    yield one_server
    one_server.stop()


def request(text: str = "hello", adapter: str | None = None, tokens: int = TOKENS, **more):
    from ft_assets.evaluation.generation import Request

    return Request([Message(role="user", content=text)], adapter, tokens, **more)


@asynccontextmanager
async def connected(vllm, base: Path, **more):
    from ft_assets.serving.vllm_base import Wanted
    from ft_assets.serving.vllm_engine import VllmEngine

    engine = await VllmEngine.connect(vllm.url, Wanted(base, 1024), look_seconds=0.02, **more)
    try:
        yield engine
    finally:
        await engine.stop()


async def tokens_of(engine, wanted, background: bool = False) -> list:
    return [token async for token in engine.stream(wanted, background)]


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


def run(vllm, installation: Installation, scenario: Callable[..., Awaitable[None]], **more) -> None:
    """Play a scenario with an engine that has the first two adapters."""

    async def play() -> None:
        async with connected(vllm, installation.folder, **more) as engine:
            for name in installation.adapters[:2]:
                await engine.add_adapter(name, installation.home.artifacts.path("adapters", name))
            await scenario(engine)

    asyncio.run(play())


def same(ours: list, theirs: list) -> bool:
    """Whether two answers are the same tokens, with the same probabilities but for rounding."""
    assert [replace(token, odds=None, request_index=0) for token in ours] == [
        replace(token, odds=None, request_index=0) for token in theirs
    ]
    for one, other in zip(ours, theirs, strict=True):
        assert (one.odds is None) == (other.odds is None)
        for mine, its in zip(one.odds or (), other.odds or (), strict=True):
            assert mine[0] == its[0] and mine[1] == pytest.approx(its[1], abs=1e-4)
    return True


def test_answers_of_many_adapters_together_are_those_of_the_engine_in_process(
    vllm, installation: Installation
):
    async def scenario(engine) -> None:
        texts = ["one", "a longer one", "\N{SNOWMAN} and \N{PILE OF POO}"]
        wanted = [request(text, name, 40) for text in texts for name in (None, *installation.adapters[:2])]
        over_http = await asyncio.gather(*(tokens_of(engine, each) for each in wanted))
        directly = [await tokens_of(vllm.engine, each) for each in wanted]
        assert all(same(*pair) for pair in zip(over_http, directly, strict=True))
        assert len({tuple(token.token_id for token in answer) for answer in directly}) >= 6

    run(vllm, installation, scenario)


def test_seed_temperature_and_probabilities_come_through(vllm, installation: Installation):
    async def scenario(engine) -> None:
        wanted = request(temperature=0.9, top_p=0.8, seed=7, logprobs=3)
        told = await tokens_of(engine, wanted)
        assert same(told, await tokens_of(vllm.engine, wanted))
        assert all(len(token.odds) == 4 for token in told)
        other = await tokens_of(engine, replace(wanted, seed=8))
        assert [token.token_id for token in other] != [token.token_id for token in told]

    run(vllm, installation, scenario)


def test_a_stop_string_ends_the_answer_before_it_and_the_work_with_it(vllm, installation: Installation):
    async def scenario(engine) -> None:
        whole = "".join(token.text for token in await tokens_of(vllm.engine, request(tokens=60)))
        stop = whole[len(whole) // 2 :][:3]
        wanted = request(tokens=4_000, stop=[stop])
        told = await tokens_of(engine, wanted)
        assert same(told, await tokens_of(vllm.engine, wanted))
        assert told[-1].finish == "stop" and stop not in "".join(token.text for token in told)
        await until(lambda: not vllm.engine._running)  # 4,000 tokens would take minutes

    run(vllm, installation, scenario)


def test_closing_a_stream_ends_the_work_over_there(vllm, installation: Installation):
    async def scenario(engine) -> None:
        async with aclosing(engine.stream(request(tokens=4_000))) as tokens:
            await anext(tokens)
            assert vllm.engine._running
        await until(lambda: not vllm.engine._running)

    run(vllm, installation, scenario)


def test_an_adapter_comes_and_goes_while_it_runs(vllm, installation: Installation):
    async def scenario(engine) -> None:
        from ft_assets.serving.engine import EngineFailed

        first, second = installation.adapters[:2]
        assert vllm.loaded == sorted([first, second])
        await engine.drop_adapter(first)
        assert vllm.loaded == [second]
        with pytest.raises(EngineFailed, match="not loaded"):
            await tokens_of(engine, request(adapter=first))
        with pytest.raises(EngineFailed, match="No adapter found"):
            await engine.add_adapter("nothing", installation.home.scratch)
        assert engine.alive
        assert await tokens_of(engine, request(adapter=second))

    run(vllm, installation, scenario)


def test_an_adapter_that_another_server_loaded_from_elsewhere_is_replaced(vllm, installation: Installation):
    async def scenario(engine) -> None:
        third = installation.adapters[2]
        folder = installation.home.artifacts.path("adapters", third)
        vllm._adapters[third] = "/elsewhere"
        await engine.add_adapter(third, folder)
        assert vllm._adapters[third] == str(folder)
        await engine.add_adapter(third, folder)  # there already: nothing to do

    run(vllm, installation, scenario)


def test_a_lost_adapter_is_loaded_again_by_whoever_asks(vllm, installation: Installation):
    async def scenario(engine) -> None:
        name = installation.adapters[0]
        before = await tokens_of(engine, request(adapter=name))
        vllm.forget(name)
        assert same(await tokens_of(engine, request(adapter=name)), before)
        assert engine.alive and name in vllm.loaded

    run(vllm, installation, scenario)


def test_a_restart_fails_what_ran_and_is_over_once_the_adapters_are_back(vllm, installation: Installation):
    from ft_assets.serving.vllm_api import Unreachable

    async def scenario(engine) -> None:
        name = installation.adapters[0]
        before = await tokens_of(engine, request(adapter=name))
        async with aclosing(engine.stream(request(tokens=4_000))) as running:
            await anext(running)
            await asyncio.to_thread(vllm.stop)
            with pytest.raises(Unreachable, match="broke off"):
                async for _ in running:
                    pass
        assert not engine.alive
        with pytest.raises(Unreachable):
            await tokens_of(engine, request(adapter=name))
        await asyncio.to_thread(vllm.start)
        await until(lambda: engine.alive)
        assert set(installation.adapters[:2]) == set(vllm.loaded)
        assert same(await tokens_of(engine, request(adapter=name)), before)

    run(vllm, installation, scenario)


def test_an_outage_is_noticed_though_nobody_asks_and_another_base_does_not_end_it(
    vllm, installation: Installation
):
    async def scenario(engine) -> None:
        await asyncio.to_thread(vllm.stop)
        await until(lambda: not engine.alive)
        vllm.root = "/bases/another"
        await asyncio.to_thread(vllm.start)
        await until(lambda: "another" in str(engine._trouble))
        assert not engine.alive
        vllm.root = str(installation.folder)
        await until(lambda: engine.alive)

    run(vllm, installation, scenario)


@pytest.mark.parametrize(
    ("status", "name", "alive"),
    [(429, "Busy", True), (503, "Unreachable", False), (500, "EngineFailed", True)],
)
def test_what_vllm_refuses_is_told_apart(
    vllm, installation: Installation, status: int, name: str, alive: bool
):
    async def scenario(engine) -> None:
        engine._watch.cancel()  # which would find that nothing is wrong
        vllm.fails = status
        with pytest.raises(Exception, match=f"answered {status}: so it was told") as raised:
            await tokens_of(engine, request())
        assert type(raised.value).__name__ == name
        assert engine.alive == alive

    run(vllm, installation, scenario)


def test_an_answer_that_vllm_gives_up_is_no_fault_of_the_adapter(vllm, installation: Installation):
    from ft_assets.serving.vllm_api import Unreachable

    async def scenario(engine) -> None:
        vllm.breaks_after = 3
        with pytest.raises(Unreachable, match="gave the answer up: so it was told"):
            await tokens_of(engine, request())
        assert not engine.alive  # so the champion is not asked in its place
        vllm.breaks_after = None
        await until(lambda: engine.alive)

    run(vllm, installation, scenario)


def test_more_than_may_wait_are_turned_away_at_once(vllm, installation: Installation):
    from ft_assets.serving.engine import Busy

    async def scenario(engine) -> None:
        waiting = [asyncio.create_task(tokens_of(engine, request(str(each)))) for each in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await tokens_of(engine, request())
        assert [token async for token in engine.stream(request(), ahead=True)], "it has waited before"
        assert all(await asyncio.gather(*waiting))
        assert await tokens_of(engine, request())

    run(vllm, installation, scenario, max_waiting=2)


def test_work_in_the_background_takes_no_place_of_a_user(vllm, installation: Installation):
    from ft_assets.serving.engine import Busy

    async def scenario(engine) -> None:
        engine.max_batch = 1
        background = engine.stream(request(tokens=4_000), background=True)
        await anext(background)
        assert await tokens_of(engine, request())  # takes the one place
        with pytest.raises(Busy):
            async for _ in background:
                pass
        await until(lambda: not vllm.engine._running)
        async with aclosing(engine.stream(request(tokens=4_000))) as user:
            await anext(user)
            with pytest.raises(Busy):
                await tokens_of(engine, request(), background=True)

    run(vllm, installation, scenario)


def test_stopping_fails_what_runs_and_refuses_what_comes(vllm, installation: Installation):
    from ft_assets.serving.engine import EngineFailed

    async def scenario(engine) -> None:
        async with aclosing(engine.stream(request(tokens=4_000))) as running:
            await anext(running)
            await engine.stop()
            with pytest.raises(EngineFailed):
                async for _ in running:
                    pass
        with pytest.raises(EngineFailed):
            await tokens_of(engine, request())
        await until(lambda: not vllm.engine._running)

    run(vllm, installation, scenario)


def connect(vllm, installation: Installation) -> None:
    async def scenario(engine) -> None:
        raise AssertionError("it was taken")

    run(vllm, installation, scenario)


def test_another_base_is_refused_with_the_command_to_start_the_right_one(vllm, installation: Installation):
    vllm.root = "/bases/another"
    with pytest.raises(Refused, match=f"vllm serve {installation.folder} --enable-lora"):
        connect(vllm, installation)


def test_less_room_than_is_promised_is_refused(vllm, installation: Installation):
    vllm.max_model_len = 512
    with pytest.raises(Refused, match="FT_ASSETS_MAX_TOKENS=512"):
        connect(vllm, installation)


def test_a_vllm_whose_adapters_are_fixed_is_refused(vllm, installation: Installation):
    vllm.stop()
    vllm.updating = False
    vllm.start()
    with pytest.raises(BrokenEnvironment, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
        connect(vllm, installation)


def test_nothing_at_the_address_is_said(installation: Installation, vllm):
    from ft_assets.serving.vllm_api import Unreachable

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        vllm.stop()
        with pytest.raises(Unreachable, match="nothing listens at"):
            connect(vllm, installation)
        vllm.start()


def test_a_number_that_is_none_marks_the_answer_as_broken():
    from ft_assets.serving.vllm_api import _steps

    told = {"token_logprobs": [None], "top_logprobs": [{}]}
    event = {"choices": [{"token_ids": [5], "logprobs": told}]}
    assert [step.odds for step in _steps(event, 0)] == [None]
