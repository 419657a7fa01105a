"""Who answers in the end: a champion that takes over from a challenger has waited, and may be rolled back meanwhile."""

import asyncio
import time
from collections.abc import Callable

import pytest

from ft_assets.serving.engine import EngineThread
from ft_assets.sources.example import Message
from ft_assets_tests.serving.conftest import Installation, hold
from ft_assets_tests.serving.factory import make_adapter, promote, release_adapter, start_rollout

MESSAGES = [Message(role="user", content="hello")]


def given(
    installation: Installation, model: str, broken: str, meanwhile: Callable[[EngineThread], object]
) -> str:
    """Who answers a user of a broken challenger, whose request waits while `meanwhile` happens."""
    from ft_assets.evaluation.generation import Engine, Request
    from ft_assets.serving.adapters import Adapters
    from ft_assets.serving.answers import Answer, Answerer, new_inference_id
    from ft_assets.serving.companion import Companion
    from ft_assets.serving.recording import Recorder
    from ft_assets.serving.routes import Routes

    home = installation.home
    thread = EngineThread(Engine.load(installation.folder), max_waiting=1)
    thread.start()

    async def scenario() -> str:
        adapters, routes = Adapters(home, thread, installation.base), Routes(home, lambda _: None)
        recorder = Recorder(home, Companion(home, lambda _: None))
        answerer = Answerer(thread, adapters, routes, recorder)
        await routes.refresh()
        choice = routes.picture.choose(model, "ann")
        assert choice.arm.address == broken
        adapters.follow(routes.picture.routed())
        await adapters.settled()
        go_on = await hold(thread)
        request = Request(MESSAGES, None, 5)
        answer = Answer(
            choice, MESSAGES, request, 3, None, "default", time.perf_counter(), new_inference_id()
        )

        async def drain() -> None:
            async for _ in answerer.tokens(answer):
                pass

        asked = asyncio.create_task(drain())
        while not thread._tickets:
            await asyncio.sleep(0.01)
        meanwhile(thread)
        await routes.refresh()
        await go_on()
        await asked
        recorder.close()
        assert answer.answer_tokens == 5
        assert answer.rollout is None
        return answer.address

    try:
        return asyncio.run(scenario())
    finally:
        asyncio.run(thread.stop())


def test_the_champion_goes_ahead_of_a_queue_that_is_full_by_now(installation: Installation):
    champion = installation.release("overfull", 1)[0]
    adapter = make_adapter(installation.home, installation.folder, 78, scale=float("inf"))
    broken = release_adapter(installation.home, "overfull", adapter, installation.base)
    promote(installation.home, "overfull", champion)
    start_rollout(installation.home, "overfull", broken, champion, 1.0)

    def fill(thread: EngineThread) -> None:
        thread.max_waiting = 0

    assert given(installation, "overfull", broken, fill) == champion


@pytest.mark.parametrize("how", ["bytes", "proof"])
def test_a_champion_that_is_rolled_back_while_it_takes_over_does_not_answer(
    installation: Installation, how: str
):
    """The challenger fails in the batch, or cannot even be loaded."""
    model = f"twice_{how}"
    good, bad = installation.release(model, 2)
    scale = float("inf") if how == "bytes" else 1.0
    adapter = make_adapter(installation.home, installation.folder, 79, scale=scale)
    verdict = "fail" if how == "proof" else "pass"
    broken = release_adapter(installation.home, model, adapter, installation.base, verdict)
    promote(installation.home, model, bad)
    start_rollout(installation.home, model, broken, bad, 1.0)
    assert given(installation, model, broken, lambda _: promote(installation.home, model, good)) == good
