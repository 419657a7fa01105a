"""What a server's companion runs; `companion.py` starts it and says what it is for."""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from ft_assets.serving import metrics
from ft_assets.serving.companion import LINE_BYTES, Report
from ft_assets.serving.deliverer import SILENT_SECONDS, Deliverer
from ft_assets.serving.delivery import why
from ft_assets.serving.feedback import Feedback
from ft_assets.serving.problems import ApiProblem, crash
from ft_assets.serving.stamp import take_stamp
from ft_assets.storage.home import Home
from ft_assets.storage.postgres import heard_within

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
"""Between two looks whether the routing has changed."""
QUIET_SECONDS = 5.0
"""After so long without a word the server is told that all is well: a delivery may take longer."""


class CompanionProcess:
    """The companion's side.

    Args:
        home: whose rows are delivered.
        out: file descriptor that the server reads.
    """

    def __init__(self, home: Home, out: int) -> None:
        self._home = home
        self._out = out
        self._deliverer = Deliverer(home)
        self._stamp: str | None = None
        self._counted: list[list[Any]] = []
        self._told_at = float("-inf")

    async def run(self) -> None:
        """Deliver, look and answer until the server has ended, and then deliver the rest."""
        tasks = [
            asyncio.create_task(self._answer_all()),
            asyncio.create_task(self._deliverer.keep_delivering(self._report)),
            asyncio.create_task(self._keep_looking()),
        ]
        ended, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        await asyncio.to_thread(self._deliverer.close)
        for task in ended:
            task.result()  # what failed is for the log, and the server starts another

    async def _answer_all(self) -> None:
        """Answer until the server has ended."""
        async with asyncio.TaskGroup() as answering:
            async for line in _lines(sys.stdin.fileno()):
                answering.create_task(self._answer(json.loads(line)))

    def _report(self) -> None:
        counted = metrics.counted()
        report = Report(
            journal=self._journal(),
            behind=self._deliverer.behind,
            stamp=self._stamp,
            counted=None if counted == self._counted else counted,
        )
        self._tell({**report})
        self._stamp, self._counted = None, counted

    def _journal(self) -> str | None:
        try:
            return self._deliverer.journal.owner()
        except OSError:  # in the same folder the server can keep no row, and says so
            return None

    async def _keep_looking(self) -> None:
        before = None
        while True:
            # The server sees that nothing is said, looks itself, and tells what is wrong.
            self._stamp = None
            with suppress(Exception):
                self._stamp = await asyncio.to_thread(self._look)
            news = self._stamp not in (None, before)
            before = self._stamp or before
            if news or time.monotonic() - self._told_at > QUIET_SECONDS:
                self._report()
            await asyncio.sleep(LOOK_SECONDS)

    @heard_within(SILENT_SECONDS)
    def _look(self) -> str:
        return take_stamp(self._home)

    async def _answer(self, question: dict[str, Any]) -> None:
        made, problem = None, None
        try:
            made = await self._deliverer.feedback(Feedback.from_json(question["feedback"]))
        except Exception as error:
            told = error if isinstance(error, ApiProblem) else crash()
            if told is not error:
                log.error("feedback could not be stored: %s", why(error))
            problem = {"status": told.status, "message": told.message, "param": told.param, "code": told.code}
        self._tell({"number": question["number"], "made": made, "problem": problem})

    def _tell(self, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # the server has ended, which standard input says too
            os.write(self._out, json.dumps(message).encode() + b"\n")
        self._told_at = time.monotonic()


async def _lines(number: int) -> AsyncIterator[bytes]:
    reader = asyncio.StreamReader(LINE_BYTES)
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(number, "rb"))
    while (line := await reader.readline()).endswith(b"\n"):  # else the server was killed
        yield line


async def _run(out: int) -> None:
    failed = False
    try:
        await CompanionProcess(Home(), out).run()
    except Exception:
        log.exception("the companion has failed")
        failed = True
    logging.shutdown()
    os._exit(failed)  # threads may still wait for a database that hangs, and nobody shall wait for them


def main() -> None:
    """Run until standard input ends."""
    # Not every event loop keeps the server's sockets from its children: its port must be free once it has ended.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    # Whoever ends everything at once, as systemd does, must not end this before the server's last rows.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(10)  # what it does can wait, answers cannot
    logging.basicConfig(level=logging.INFO, format="%(asctime)s [%(levelname)s] [companion] %(message)s")
    out = os.dup(1)
    os.dup2(2, 1)  # what anybody prints is for the log
    asyncio.run(_run(out))


if __name__ == "__main__":
    main()
