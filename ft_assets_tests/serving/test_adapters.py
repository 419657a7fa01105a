"""Adapters come when they are routed, go when nobody needs them, and never while they answer."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from ft_assets.serving.engine import EngineThread
from ft_assets.sources.example import Message
from ft_assets.storage.releases import Release, find_release
from ft_assets_tests.serving.conftest import Installation, hold


@pytest.fixture
def thread(installation: Installation) -> Iterator[EngineThread]:
    from ft_assets.evaluation.generation import Engine

    thread = EngineThread(Engine.load(installation.folder))
    thread.start()
    yield thread
    asyncio.run(thread.stop())


@pytest.fixture(scope="module")
def released(installation: Installation) -> list[Release]:
    return [find_release(installation.home, name) for name in installation.release("adapters", 2)]


def test_routed_adapters_are_loaded_and_unrouted_ones_dropped_once_idle(
    installation: Installation, thread: EngineThread, released: list[Release]
):
    from ft_assets.serving.adapters import Adapters

    async def scenario() -> None:
        adapters = Adapters(installation.home, thread, installation.base, keep_seconds=0.0)

        async def loaded() -> set[str]:
            await adapters.settled()
            return set(await thread.call(lambda engine: engine.adapters))

        first, second = (release.adapter_digest for release in released)
        adapters.follow(released)
        assert await loaded() == {first, second}
        async with adapters.using(released[0]):
            adapters.follow([])
            assert await loaded() == {first}
        adapters.follow([])
        assert await loaded() == set()
        async with adapters.using(released[1]):
            assert await loaded() == {second}

    asyncio.run(scenario())


def test_an_adapter_lately_used_stays(
    installation: Installation, thread: EngineThread, released: list[Release]
):
    from ft_assets.serving.adapters import Adapters

    async def scenario() -> None:
        adapters = Adapters(installation.home, thread, installation.base)
        async with adapters.using(released[0]):
            pass
        adapters.follow([])
        await adapters.settled()
        assert await thread.call(lambda engine: engine.adapters) == [released[0].adapter_digest]

    asyncio.run(scenario())


def test_many_that_ask_at_once_share_one_load_also_if_one_gives_up(
    installation: Installation, thread: EngineThread, released: list[Release]
):
    from ft_assets.serving.adapters import Adapters

    async def scenario() -> None:
        adapters = Adapters(installation.home, thread, installation.base)
        asking = [asyncio.create_task(adapters.load(released[0])) for _ in range(5)]
        await asyncio.sleep(0)
        asking[0].cancel()
        results = await asyncio.gather(*asking, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert results[1:] == [None] * 4

    asyncio.run(scenario())


def test_one_whose_client_has_just_left_goes_as_soon_as_its_row_has(
    released: list[Release], installation: Installation, thread: EngineThread
):
    from ft_assets.evaluation.generation import Request
    from ft_assets.serving.adapters import Adapters

    release = released[0]

    async def scenario() -> None:
        adapters = Adapters(installation.home, thread, installation.base, max_bytes=0)
        begun = asyncio.Event()

        async def ask() -> None:
            asked = Request([Message(role="user", content="x")], release.adapter_digest, 4_000)
            async with adapters.using(release), aclosing(thread.stream(asked)) as tokens:
                async for _ in tokens:
                    begun.set()

        user = asyncio.create_task(ask())
        await begun.wait()
        go_on = await hold(thread)
        user.cancel()
        await asyncio.wait([user])
        adapters._shrink("")  # as another that is loaded does: its row is still in the batch
        await asyncio.sleep(0)
        await go_on()
        await adapters.settled()
        assert await thread.call(lambda engine: engine.adapters) == []

    asyncio.run(scenario())


def test_beyond_the_budget_the_one_used_longest_ago_goes_and_comes_back_when_asked_for(
    installation: Installation, thread: EngineThread
):
    from ft_assets.serving.adapters import Adapters

    releases = [find_release(installation.home, name) for name in installation.release("budget", 3)]
    digests = [release.adapter_digest for release in releases]
    file = installation.home.artifacts.path("adapters", digests[0]) / "adapter_model.safetensors"

    async def scenario() -> None:
        adapters = Adapters(installation.home, thread, installation.base, max_bytes=2 * file.stat().st_size)

        async def loaded() -> set[str]:
            await adapters.settled()
            return set(await thread.call(lambda engine: engine.adapters))

        for release in releases[:2]:
            async with adapters.using(release):
                pass
        async with adapters.using(releases[0]):
            pass
        async with adapters.using(releases[2]):
            assert await loaded() == {digests[0], digests[2]}
            async with adapters.using(releases[1]):
                assert await loaded() == {digests[1], digests[2]}
                async with adapters.using(releases[0]):  # all three answer: none may go
                    assert await loaded() == set(digests)
        adapters.follow(releases)
        assert len(await loaded()) == 3  # nothing is loaded again to be dropped again

    asyncio.run(scenario())
