"""The process beside a server that asks the database what has to be asked again and again.

It delivers rows, stores feedback, and looks whether the routing has changed. In the server's own interpreter each of
these would take turns with the engine and the requests. It lives as long as the server: it ends when its standard input
does, and if it ends before, or hangs, another is started. Nothing is lost by that, as what it was given lies on disk.

Both sides send JSON, a line for a message. From the server: `{"number", "feedback"}`. From the companion:
`{"number", "made", "problem"}`, and reports.
"""

import asyncio
import itertools
import json
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypedDict

from ft_assets.serving import metrics
from ft_assets.serving.deliverer import CLOSE_SECONDS
from ft_assets.storage.home import Home

log = logging.getLogger(__name__)

_MODULE = "ft_assets.serving.companion_process"
ANSWER_SECONDS = 4.0
"""How long an answer is waited for: longer than the companion waits for the database and for an answer's row."""
SILENCE_SECONDS = 60.0
"""How long it may say nothing before it is killed; unless it hangs, it reports every few seconds."""
PAUSE_SECONDS = (0.1, 5.0)
"""Before another is started: the first time, and at most."""
LINE_BYTES = 4_000_000
"""The longest message."""


class Report(TypedDict):
    """What a companion tells at each turn.

    Attributes:
        journal: whose name files must bear to be delivered; None while there can be none.
        behind: whether rows wait, because the database is away or because they are many.
        stamp: as of `take_stamp`, if it has looked since the last report; None if it could not look.
        counted: what it has counted so far, as of `metrics.counted`; None if nothing has changed.
    """

    journal: str | None
    behind: bool
    stamp: str | None
    counted: list[list[Any]] | None


class Companion:
    """The server's side of it.

    Args:
        home: the installation that both serve.
        heard: called with each report.
    """

    def __init__(self, home: Home, heard: Callable[[Report], None]) -> None:
        self._home = home
        self._heard = heard
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._closing = False
        self._up = asyncio.Event()
        self._asked: dict[int, asyncio.Future[dict[str, Any] | None]] = {}
        self._numbers = itertools.count()
        self._counted: metrics.Counted = {}

    @property
    def up(self) -> bool:
        """Whether one runs that has reported."""
        return self._up.is_set()

    def start(self) -> None:
        """Start it, inside a running event loop, and another whenever it has ended."""
        self._task = asyncio.create_task(self._keep_running())

    async def ask(self, feedback: dict[str, Any]) -> dict[str, Any] | None:
        """Have feedback stored: `made` and `problem`, or None if nothing was heard of it."""
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._up.wait()
                self._send({"number": number, "feedback": feedback})
                return await self._asked[number]
        except (TimeoutError, OSError, RuntimeError):  # the last is uvloop's word for a pipe that was closed
            return None
        finally:
            del self._asked[number]

    async def close(self) -> None:
        """Let it deliver what it has, and end it."""
        process = self._process
        self._closing = True
        if process is not None and process.returncode is None:
            assert self._task is not None and process.stdin is not None
            process.stdin.close()
            await asyncio.wait([self._task], timeout=CLOSE_SECONDS + 1)
            with suppress(ProcessLookupError):
                process.kill()
        if self._task is not None:
            self._task.cancel()

    async def _keep_running(self) -> None:
        pause, most = PAUSE_SECONDS
        while not self._closing:
            try:
                if await self._run():
                    pause = PAUSE_SECONDS[0]
                if self._closing:
                    return
                log.warning("the companion process has ended; another is started")
            except OSError as error:
                log.warning("the companion process cannot be started: %s", error.strerror)
            except Exception:
                log.exception("what the companion process says was not understood; another is started")
            await asyncio.sleep(pause)
            pause = min(2 * pause, most)

    async def _run(self) -> bool:
        """Start one and hear what it says until it ends; whether it has said anything."""
        pipe = asyncio.subprocess.PIPE
        environment = {**os.environ, **self._home.environment()}
        command = (sys.executable, "-m", _MODULE)
        # A session of its own: Ctrl-C is for the server, which tells it when to end.
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, env=environment, limit=LINE_BYTES, start_new_session=True
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            await self._hear_all(self._process, self._process.stdout)
            await self._process.wait()
            return self._up.is_set()
        finally:
            self._process.stdin.close()
            self._counted = {}
            self._up.clear()
            for asked in self._asked.values():
                if not asked.done():
                    asked.set_result(None)

    async def _hear_all(self, process: asyncio.subprocess.Process, lines: asyncio.StreamReader) -> None:
        """Hear what one says until it ends; one that hangs is killed."""
        try:
            # A line that does not end, or none: it was killed.
            while (line := await asyncio.wait_for(lines.readline(), SILENCE_SECONDS)).endswith(b"\n"):
                self._hear(json.loads(line))
        except TimeoutError:
            log.warning("the companion process has said nothing for %g s and is killed", SILENCE_SECONDS)
            process.kill()

    def _hear(self, message: dict[str, Any]) -> None:
        if "number" not in message:
            self._up.set()
            report = Report(**message)
            if report["counted"] is not None:
                self._counted = metrics.add(report["counted"], self._counted)
            self._heard(report)
        elif (asked := self._asked.get(message["number"])) is not None and not asked.done():
            asked.set_result(message)

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
