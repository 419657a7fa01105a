"""Everything that one worker runs: the engine, its adapters, the routing, and what records answers."""

import asyncio
import logging
import os
import signal
from pathlib import Path

from ft_assets.errors import BrokenEnvironment
from ft_assets.evaluation.generation import Engine
from ft_assets.serving import traces
from ft_assets.serving.adapters import Adapters
from ft_assets.serving.answers import Answerer
from ft_assets.serving.backend import Backend
from ft_assets.serving.chat import Chat
from ft_assets.serving.companion import Companion, Report
from ft_assets.serving.engine import EngineThread
from ft_assets.serving.limits import VLLM_ENV, Limits, read_limits
from ft_assets.serving.prompts import Prompts
from ft_assets.serving.recording import Recorder
from ft_assets.serving.routes import Picture, Routes
from ft_assets.serving.vllm_base import Wanted
from ft_assets.serving.vllm_engine import VllmEngine
from ft_assets.storage.home import Home
from ft_assets.storage.pseudonyms import Pseudonyms

log = logging.getLogger(__name__)

BASE_ENV = "FT_ASSETS_BASE"
LAUNCHER_ENV = "FT_ASSETS_LAUNCHER"


class Runtime:
    """One worker's state. Make it with `start`, inside a running event loop."""

    def __init__(
        self, home: Home, engine: Backend, prompts: Prompts, base_digest: str, limits: Limits
    ) -> None:
        self.home = home
        self.limits = limits
        self.users = Pseudonyms(home.key("users"))
        self.engine = engine
        self.prompts = prompts
        self.adapters = Adapters(home, engine, base_digest, limits.adapter_bytes)
        self.routes = Routes(home, self._follow)
        self.companion = Companion(home, self._heard)
        self.recorder = Recorder(home, self.companion)
        self.answerer = Answerer(engine, self.adapters, self.routes, self.recorder)
        self.chat = Chat(self.users, self.routes, prompts, self.answerer, limits.body_bytes)
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def start(cls, home: Home) -> "Runtime":
        """Load the base that `FT_ASSETS_BASE` names, and every adapter that is routed.

        With `FT_ASSETS_VLLM_URL` the vLLM there has the base, and no weights are loaded here. While the database
        cannot be read it starts all the same, and answers nothing: see `ready`.

        Raises:
            BrokenEnvironment, Refused: no base is named, its bytes are missing or changed, or vLLM serves another.
            EngineFailed: vLLM does not answer.
        """
        digest = os.environ.get(BASE_ENV)
        if not digest:
            raise BrokenEnvironment(f"{BASE_ENV} names no base; start the service with `ft-assets serve`")
        base = await asyncio.to_thread(home.artifacts.path, "bases", digest)
        limits = read_limits()
        prompts = Prompts(base, limits.tokens)
        traces.set_up()
        runtime = cls(home, await _engine(base, limits, prompts), prompts, digest, limits)
        await runtime.routes.refresh()
        await runtime.adapters.settled()
        runtime.companion.start()
        runtime._tasks = [asyncio.create_task(runtime.routes.keep_fresh())]
        if launcher := os.environ.get(LAUNCHER_ENV):
            runtime._tasks.append(asyncio.create_task(_end_with(int(launcher))))
        return runtime

    @property
    def alive(self) -> bool:
        """Whether the engine still answers."""
        return self.engine.alive

    @property
    def ready(self) -> bool:
        """Whether requests are answered: the engine works, and it is known who may ask."""
        return self.alive and self.routes.known

    async def stop(self) -> None:
        """End every thread and task; rows that are being written are written."""
        for task in self._tasks:
            task.cancel()
        await self.engine.stop()
        await self.answerer.finish()
        await asyncio.to_thread(self.recorder.close)
        await self.companion.close()
        self.prompts.close()
        await asyncio.to_thread(traces.tear_down)

    def _heard(self, report: Report) -> None:
        self.recorder.heard(report)
        if report["stamp"] is not None:
            self.routes.heard(report["stamp"])

    def _follow(self, picture: Picture) -> None:
        self.engine.max_batch = picture.max_batch()
        self.adapters.follow(picture.routed())


async def _engine(base: Path, limits: Limits, prompts: Prompts) -> Backend:
    """What answers: the vLLM that the environment names, or an engine in this process."""
    if url := os.environ.get(VLLM_ENV):
        return await VllmEngine.connect(url, Wanted(base, prompts.max_tokens), limits.waiting)
    thread = EngineThread(await asyncio.to_thread(Engine.load, base), max_waiting=limits.waiting)
    thread.start()
    return thread


def stop_server() -> None:
    """Ask BentoML's supervisor, this worker's parent, to end; else it would restart the worker for ever."""
    os.kill(os.getppid(), signal.SIGTERM)


async def _end_with(launcher: int) -> None:
    """End the server once the process that launched it, or its supervisor, is gone: a kill leaves nothing behind."""
    supervisor = os.getppid()
    while _runs(launcher) and os.getppid() == supervisor:
        await asyncio.sleep(1)
    log.warning(
        "process %d, which launched this server, or its supervisor is gone; the server ends", launcher
    )
    # An orphan has another parent, which is not ours to end.
    os.kill(supervisor if os.getppid() == supervisor else os.getpid(), signal.SIGTERM)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
