"""The engine's thread, with a real tiny model: batches, cancelling, a full queue, an orderly end."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from ft_assets.serving import engine
from ft_assets.serving.engine import Busy, EngineFailed, EngineThread
from ft_assets.sources.example import Message
from ft_assets_tests.serving.conftest import Installation, hold


@pytest.fixture
def thread(installation: Installation) -> Iterator[EngineThread]:
    from ft_assets.evaluation.generation import Engine

    thread = EngineThread(Engine.load(installation.folder), max_batch=4, max_waiting=3)
    yield thread
    asyncio.run(thread.stop())


def request(text: str = "hello", adapter: str | None = None, tokens: int = 5):
    from ft_assets.evaluation.generation import Request

    return Request([Message(role="user", content=text)], adapter, tokens)


async def answer(thread: EngineThread, wanted) -> list[int]:
    return [token.token_id async for token in thread.stream(wanted)]


def test_what_waits_is_decoded_together_and_each_gets_its_own_answer(
    thread: EngineThread, installation: Installation
):
    async def scenario() -> None:
        thread.start()
        for adapter in installation.adapters[:2]:
            folder = installation.home.artifacts.path("adapters", adapter)
            await thread.add_adapter(adapter, folder)
        wanted = [request("one", None), request("a longer one", installation.adapters[0])]
        wanted.append(request("two", installation.adapters[1]))
        alone = [await answer(thread, each) for each in wanted]
        together = await asyncio.gather(*(answer(thread, each) for each in wanted))
        assert together == alone
        assert len({tuple(ids) for ids in alone}) == 3

    asyncio.run(scenario())


def test_many_tokens_of_newcomers_are_read_in_parts(
    thread: EngineThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []

    def note(_: object, __: object, kwargs: dict[str, Any]) -> None:
        passes.extend([len(kwargs["row_lengths"])] if "row_lengths" in kwargs else [])

    async def scenario() -> None:
        monkeypatch.setattr(engine, "READ_AT_ONCE", 50)
        thread._engine._model.register_forward_pre_hook(note, with_kwargs=True)
        thread.start()
        wanted = [replace(request(), prompt_ids=range(start, start + 30)) for start in (5, 50, 100)]
        alone = [await answer(thread, each) for each in wanted]
        passes.clear()
        go_on = await hold(thread)
        together = [asyncio.create_task(answer(thread, each)) for each in wanted]
        await asyncio.sleep(0)  # lets them enter the queue
        await go_on()
        assert await asyncio.gather(*together) == alone
        assert passes == [2, 1], "the third comes after the first token of the others"

    asyncio.run(scenario())


def test_a_full_queue_turns_away_at_once_and_a_cancelled_place_is_free_again(thread: EngineThread):
    async def scenario() -> None:
        thread.start()
        # While the engine's thread waits here, nothing leaves the queue.
        go_on = await hold(thread)
        waiting = [asyncio.create_task(answer(thread, request())) for _ in range(3)]
        await asyncio.sleep(0)  # lets them enter the queue
        with pytest.raises(Busy):
            await answer(thread, request())
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        late = asyncio.create_task(answer(thread, request()))
        await asyncio.sleep(0)
        await go_on()
        assert all(await asyncio.gather(late, *waiting[1:]))

    asyncio.run(scenario())


def test_who_has_waited_before_goes_ahead_and_is_never_turned_away(thread: EngineThread):
    ended: list[str] = []

    async def ask(name: str, ahead: bool = False) -> None:
        async for _ in thread.stream(request(name), ahead=ahead):
            pass
        ended.append(name)

    async def scenario() -> None:
        thread.max_batch = 1
        thread.start()
        go_on = await hold(thread)
        waiting = [asyncio.create_task(ask(name)) for name in ("one", "two", "three")]
        await asyncio.sleep(0)  # lets them enter the queue
        waiting.append(asyncio.create_task(ask("ahead", ahead=True)))
        await asyncio.sleep(0)
        await go_on()
        await asyncio.gather(*waiting)

    asyncio.run(scenario())
    assert ended == ["ahead", "one", "two", "three"]


def test_closing_a_stream_ends_its_work(thread: EngineThread):
    async def scenario() -> None:
        thread.start()
        async with aclosing(thread.stream(request(tokens=4_000))) as tokens:
            await anext(tokens)
        # The engine is busy for as long as that answer goes on, and 4,000 tokens take much longer than this.
        assert await asyncio.wait_for(answer(thread, request(tokens=1)), 5)

    asyncio.run(scenario())


def test_a_failing_batch_fails_its_requests_and_no_others(thread: EngineThread):
    async def scenario() -> None:
        thread.start()
        with pytest.raises(EngineFailed):
            await answer(thread, request(adapter="never loaded"))
        assert await answer(thread, request())

    asyncio.run(scenario())


def test_stopping_fails_what_runs_and_refuses_what_comes(thread: EngineThread):
    async def scenario() -> None:
        thread.start()
        running = asyncio.create_task(answer(thread, request(tokens=4_000)))
        await thread.call(lambda engine: engine.adapters)
        await thread.stop()
        with pytest.raises(EngineFailed):
            await running
        with pytest.raises(EngineFailed):
            await answer(thread, request())
        assert not thread.alive

    asyncio.run(scenario())


def test_a_request_joins_the_running_batch_and_is_answered_before_it_ends(thread: EngineThread):
    async def scenario() -> None:
        thread.start()
        async with aclosing(thread.stream(request(tokens=4_000))) as long:
            await anext(long)
            assert await asyncio.wait_for(answer(thread, request("z", tokens=3)), 5)
            await anext(long)  # the first one still goes on

    asyncio.run(scenario())


def test_work_in_the_background_gives_its_place_to_a_user(thread: EngineThread):
    async def scenario() -> None:
        thread.max_batch = 1
        thread.start()
        background = thread.stream(request(tokens=4_000), background=True)
        await anext(background)
        assert await asyncio.wait_for(answer(thread, request(tokens=2)), 5)
        with pytest.raises(Busy):
            async for _ in background:
                pass

    asyncio.run(scenario())


def test_work_in_the_background_never_waits_for_a_place(thread: EngineThread):
    async def background() -> list[int]:
        stream = thread.stream(request(tokens=1), background=True)
        return [token.token_id async for token in stream]

    async def scenario() -> None:
        thread.start()
        go_on = await hold(thread)
        user = asyncio.create_task(answer(thread, request(tokens=1)))
        await asyncio.sleep(0)
        waiting = [user, *(asyncio.create_task(background()) for _ in range(thread.max_batch - 1))]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await background()
        await go_on()
        assert all(await asyncio.gather(*waiting))

    asyncio.run(scenario())
