"""What a server keeps reaches the database through its companion, whatever happens to either process."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import psutil
import pytest

from ft_assets.serving import companion as module
from ft_assets.serving import companion_process
from ft_assets.serving.companion import Companion, Report
from ft_assets.serving.deliverer import JOURNALS
from ft_assets.serving.metrics import FEEDBACK
from ft_assets.serving.problems import ApiProblem
from ft_assets.serving.recording import Recorder, keep_answer
from ft_assets.storage.home import Home
from ft_assets.storage.journal import Journal
from ft_assets_tests.serving.conftest import until
from ft_assets_tests.serving.test_deliverer import failures, interaction, recorded, said, thumb

KILLED_SERVER = """
import asyncio, os, signal, sys
from ft_assets.serving.companion import Companion
from ft_assets.serving.recording import Recorder
from ft_assets.storage.home import Home
from ft_assets_tests.serving.test_deliverer import interaction

async def serve():
    told = asyncio.Event()
    companion = Companion(Home(), lambda _: told.set())
    recorder = Recorder(Home(), companion)
    companion.start()
    await told.wait()
    for number in range(20):
        recorder.record(interaction(f"chat-{number}"))
    print(companion._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(serve())
"""


class Serving:
    """The part of a server that records: what it is, and what its companion said."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.reports: list[Report] = []
        self.companion = Companion(home, self._heard)
        self.recorder = Recorder(home, self.companion)

    @property
    def pid(self) -> int:
        """The companion's process, which may be another one later."""
        assert self.companion._process is not None
        return self.companion._process.pid

    async def reported(self) -> None:
        """Return after the companion's next report."""
        seen = len(self.reports)
        await eventually(lambda: len(self.reports) > seen)

    def _heard(self, report: Report) -> None:
        self.reports.append(report)
        self.recorder.heard(report)


@asynccontextmanager
async def serving(home: Home) -> AsyncIterator[Serving]:
    both = Serving(home)
    both.companion.start()
    try:
        async with asyncio.timeout(60):
            yield both
    finally:
        both.recorder.close()
        await both.companion.close()


async def eventually(true: Callable[[], object]) -> None:
    while not true():
        await asyncio.sleep(0.01)


def journal(home: Home) -> list[Path]:
    return list((home.scratch / "serving" / "journal").iterdir())


def test_rows_arrive_in_order_while_it_runs_and_the_last_ones_when_it_ends(home: Home):
    async def scenario() -> int:
        async with serving(home) as both:
            for number in range(50):
                both.recorder.record(interaction(f"chat-{number}"))
            await eventually(lambda: len(recorded(home)) == 50)
            both.recorder.record(interaction("chat-50"))
            return both.pid

    pid = asyncio.run(scenario())
    assert recorded(home) == [f"chat-{number}" for number in range(51)]
    assert not psutil.pid_exists(pid)
    assert journal(home) == []


def test_feedback_finds_the_answer_of_that_moment_is_stored_once_and_is_counted(home: Home):
    before = FEEDBACK.labels("base", "thumb")._value.get()

    async def scenario() -> None:
        async with serving(home) as both:
            both.recorder.record(interaction())
            assert await both.recorder.feedback(thumb("chat-1")) is True
            assert await both.recorder.feedback(thumb("chat-1")) is False
            with pytest.raises(ApiProblem) as refused:
                await both.recorder.feedback(thumb("chat-of-nobody"))
            assert (refused.value.status, refused.value.code) == (404, "unknown_inference")
            await eventually(lambda: FEEDBACK.labels("base", "thumb")._value.get() == before + 1)
            for _ in range(3):
                await both.reported()

    asyncio.run(scenario())
    assert said(home) == ["chat-1"]
    assert FEEDBACK.labels("base", "thumb")._value.get() == before + 1


def test_what_the_companion_gives_up_is_counted_by_the_server(home: Home):
    before = failures()

    async def scenario() -> None:
        async with serving(home) as both:
            both.recorder.record(interaction("chat-1", prompt_tokens=2**70))
            both.recorder.record(interaction("chat-2"))
            await eventually(lambda: failures() == before + 1)

    asyncio.run(scenario())
    assert recorded(home) == ["chat-2"]


def test_a_companion_that_is_killed_loses_nothing_and_another_takes_its_place(
    home: Home, caplog: pytest.LogCaptureFixture
):
    async def scenario() -> None:
        async with serving(home) as both:
            await both.reported()
            for turn in range(4):
                for number in range(25):
                    both.recorder.record(interaction(f"chat-{turn}-{number}"))
                    await asyncio.sleep(0)
                both.recorder._hand_over()
                killed = both.pid
                os.kill(killed, signal.SIGKILL)
                assert await both.recorder.feedback(thumb(f"chat-{turn}-0")) in (None, True)
                await eventually(lambda killed=killed: both.pid != killed and both.companion._up.is_set())

    asyncio.run(scenario())
    until(lambda: len(recorded(home)) == 100)
    assert sorted(recorded(home)) == sorted(
        f"chat-{turn}-{number}" for turn in range(4) for number in range(25)
    )
    assert sorted(said(home)) == [f"chat-{turn}-0" for turn in range(4)]
    assert caplog.text.count("another is started") == 4


def test_feedback_that_a_companion_does_not_answer_is_kept_and_arrives_once(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.3)

    async def scenario() -> None:
        async with serving(home) as both:
            both.recorder.record(interaction())
            await both.reported()
            os.kill(both.pid, signal.SIGSTOP)
            assert await both.recorder.feedback(thumb("chat-1")) is None
            os.kill(both.pid, signal.SIGCONT)
            await eventually(lambda: said(home))
            for _ in range(3):
                await both.reported()

    asyncio.run(scenario())
    assert (recorded(home), said(home)) == (["chat-1"], ["chat-1"])
    assert journal(home) == []


def test_a_companion_that_hangs_is_killed_and_another_delivers_what_it_was_given(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async def scenario() -> None:
        async with serving(home) as both:
            await both.reported()
            with monkeypatch.context() as impatient:
                impatient.setattr(module, "SILENCE_SECONDS", 1.0)
                await both.reported()
                hangs = both.pid
                os.kill(hangs, signal.SIGSTOP)
                for number in range(5):
                    both.recorder.record(interaction(f"chat-{number}"))
                both.recorder._hand_over()
                await eventually(lambda: "has said nothing for 1 s" in caplog.text)
            await eventually(lambda: len(recorded(home)) == 5)
            assert both.pid != hangs
            assert not psutil.pid_exists(hangs)

    asyncio.run(scenario())
    assert recorded(home) == [f"chat-{number}" for number in range(5)]
    assert journal(home) == []


def test_a_companion_that_cannot_be_started_costs_no_row(
    home: Home, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.1)

    async def scenario() -> None:
        with monkeypatch.context() as broken:
            broken.setattr(sys, "executable", "/no/python")
            async with serving(home) as both:
                both.recorder.record(interaction())
                assert await both.recorder.feedback(thumb("chat-1")) is None
        async with serving(home):
            await eventually(lambda: said(home))

    asyncio.run(scenario())
    assert "cannot be started: No such file" in caplog.text
    assert (recorded(home), said(home)) == (["chat-1"], ["chat-1"])


def test_a_companion_ends_with_its_server_and_with_nobody_else(home: Home):
    async def scenario() -> None:
        async with serving(home) as both:
            await both.reported()
            os.kill(both.pid, signal.SIGTERM)
            both.recorder.record(interaction())
            await eventually(lambda: recorded(home))
            assert len({report["journal"] for report in both.reports}) == 1, "it is still the same"

    asyncio.run(scenario())


def test_the_companion_of_a_server_that_is_killed_delivers_what_it_left_and_ends(home: Home):
    environment = {**os.environ, **home.environment()}
    command = [sys.executable, "-c", KILLED_SERVER]
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    until(lambda: len(recorded(home)) == 20, seconds=20)
    until(lambda: not psutil.pid_exists(int(killed.stdout)), seconds=20)
    assert recorded(home) == [f"chat-{number}" for number in range(20)]
    assert journal(home) == []


def companion_alone(home: Home, close_fds: bool = True) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ft_assets.serving.companion_process"]
    pipe = subprocess.PIPE
    environment = {**os.environ, **home.environment()}
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, close_fds=close_fds)


def test_a_companion_says_that_it_lives_while_a_delivery_takes_long(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(companion_process, "QUIET_SECONDS", 0.3)

    async def scenario(told: BinaryIO, tell: int) -> list[Report]:
        looks = asyncio.create_task(companion_process.CompanionProcess(home, tell)._keep_looking())
        try:
            return [json.loads(await asyncio.to_thread(told.readline)) for _ in range(3)]
        finally:
            looks.cancel()

    hear, tell = os.pipe()
    with os.fdopen(hear, "rb") as told, os.fdopen(tell, "wb"):
        first, *later = asyncio.run(scenario(told, tell))
    assert first["stamp"] is not None
    assert [report["behind"] for report in later] == [False, False]


def test_half_a_message_of_a_server_that_was_killed_keeps_no_row_from_being_delivered(home: Home):
    left = Journal(home.scratch / JOURNALS)
    keep_answer(left, interaction())
    with companion_alone(home) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        left.close()
        process.stdin.write(b'{"number": 0, "feed')
        process.stdin.close()
        assert process.wait(20) == 0
    assert recorded(home) == ["chat-1"]
    assert journal(home) == []


def test_a_companion_keeps_no_socket_of_its_server_open(home: Home):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        with companion_alone(home, close_fds=False) as process:
            assert process.stdin is not None and process.stdout is not None
            process.stdout.readline()
            found = psutil.Process(process.pid).net_connections()
            process.stdin.close()
    assert [each for each in found if each.status == psutil.CONN_LISTEN] == []
