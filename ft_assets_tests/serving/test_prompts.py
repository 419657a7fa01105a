"""Prompts as ids: short ones at once, long ones on a thread, and both at the same time the same as alone."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ft_assets.serving.prompts import SHORT, Prompts
from ft_assets.sources.example import Message
from ft_assets_tests.serving.conftest import Installation

TOOLS = [{"type": "function", "function": {"name": "now"}}]


@pytest.fixture
def prompts(installation: Installation) -> Iterator[Prompts]:
    made = Prompts(installation.folder, 4096)
    yield made
    made.close()


@pytest.fixture
def encoded_by(prompts: Prompts, monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The thread of each call of the tokenizer, which is the real one."""
    threads: list[threading.Thread] = []

    def tokenize(self: object, *args: Any, **settings: Any) -> Any:
        threads.append(threading.current_thread())
        return call(self, *args, **settings)

    tokenizer = type(prompts._tokenizer)
    call = tokenizer.__call__
    monkeypatch.setattr(tokenizer, "__call__", tokenize)
    monkeypatch.setattr(prompts, "max_tokens", 1_000_000)
    template = "{% for tool in tools or [] %}{{ tool.function.name }}{% endfor %}"
    monkeypatch.setattr(prompts._tokenizer, "chat_template", template + prompts._tokenizer.chat_template)
    return threads


def said(*texts: str) -> list[Message]:
    return [Message(role="user", content=text) for text in texts]


def test_only_what_is_short_is_encoded_on_the_event_loop(
    prompts: Prompts, encoded_by: list[threading.Thread]
):
    called = Message(role="assistant", content="", tool_calls='[{"name": "' + "x" * SHORT + '"}]')

    async def on_the_loop(*asked: Any) -> list[bool]:
        encoded_by.clear()
        for each in asked:
            await each
        return [thread is threading.current_thread() for thread in encoded_by]

    async def scenario() -> None:
        short = prompts.of_text("x" * SHORT), prompts.of_chat(said("x" * (SHORT - 100)))
        assert await on_the_loop(*short) == [True, True]
        long = prompts.of_text("x" * (SHORT + 1)), prompts.of_chat(said("x" * SHORT))
        assert await on_the_loop(*long) == [False, False]
        many = prompts.of_chat(said(*[""] * SHORT)), prompts.of_chat([*said("hi"), called])
        assert await on_the_loop(*many) == [False, False], "turns and calls are long, too"
        assert not any(await on_the_loop(prompts.of_chat(said("hi"), TOOLS))), "and so are tools"

    asyncio.run(scenario())


def test_a_short_prompt_does_not_wait_for_a_long_one_and_both_are_what_they_are_alone(prompts: Prompts):
    texts = [f"what is {number}?" for number in range(50)]

    async def scenario() -> None:
        alone = [await prompts.of_text(text) for text in texts]
        long = "what is it? " * 300
        long_alone = await prompts.of_text(long)
        behind = [asyncio.create_task(prompts.of_text(long)) for _ in range(20)]
        await asyncio.sleep(0)  # the thread has them
        assert [await prompts.of_text(text) for text in texts] == alone
        assert not behind[-1].done()
        assert await asyncio.gather(*behind) == [long_alone] * 20

    asyncio.run(scenario())
