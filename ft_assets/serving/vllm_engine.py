"""A vLLM server as the engine: it batches and holds the weights, and this process holds none.

It may go and come back. Nothing is asked of it while it is away; once it is back its base is compared anew, and the
adapters that it lost are loaded again.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path

from ft_assets.evaluation.decoding import Token
from ft_assets.evaluation.generation import Request
from ft_assets.serving.engine import Busy, EngineFailed
from ft_assets.serving.metrics import BATCH_SIZE, WAITING
from ft_assets.serving.vllm_api import NotThere, Step, Unreachable, VllmApi
from ft_assets.serving.vllm_base import Wanted, examine, find_base
from ft_assets.serving.vllm_row import Speller, Spelling

log = logging.getLogger(__name__)

BROKEN = "the model gave no number: its weights, or its adapter's, are broken"


@dataclass(eq=False)
class _Place:
    """A request that vLLM works on."""

    background: bool
    waiting: bool = True
    taken: bool = False  # by a user


class VllmEngine:
    """Answers through vLLM. Make it with `connect`.

    Args:
        url: of the server.
        wanted: the base that it must serve.
        max_waiting: users' requests that may wait for their first token; more are turned away at once.
        look_seconds: pause between two looks at whether it is still there.
    """

    def __init__(self, url: str, wanted: Wanted, max_waiting: int = 64, look_seconds: float = 1.0) -> None:
        self.max_batch = 8
        self.max_waiting = max_waiting
        self._api = VllmApi(url)
        self._wanted = wanted
        self._speller = Speller(wanted.base)
        self._look_seconds = look_seconds
        self._base = ""
        self._adapters: dict[str, Path] = {}
        self._loading = asyncio.Lock()
        self._places: list[_Place] = []
        self._trouble: str | None = None
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    async def connect(
        cls, url: str, wanted: Wanted, max_waiting: int = 64, look_seconds: float = 1.0
    ) -> "VllmEngine":
        """An engine whose vLLM answers, with the right base.

        Raises:
            Refused, BrokenEnvironment, EngineFailed, Busy: see `examine`.
        """
        engine = cls(url, wanted, max_waiting, look_seconds)
        try:
            engine._base = await examine(engine._api, engine._speller, wanted)
        except BaseException:
            await engine._api.close()
            raise
        engine._watch = asyncio.create_task(engine._keep_watching())
        return engine

    @property
    def alive(self) -> bool:
        """Whether vLLM is there, with our base."""
        return self._trouble is None

    async def stop(self) -> None:
        """End what runs: whatever follows is refused."""
        self._trouble = "the server is stopping"
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        await self._api.close()

    async def add_adapter(self, name: str, folder: Path) -> None:
        """Load an adapter; vLLM must see the same folder.

        Raises:
            EngineFailed, Busy: vLLM says no, or nothing.
        """
        self._refuse_if_away()
        await self._load(name, folder.resolve())
        self._adapters[name] = folder.resolve()

    async def drop_adapter(self, name: str) -> None:
        """Unload an adapter. Another server of the same vLLM that still wants it loads it again."""
        del self._adapters[name]
        with suppress(NotThere):
            await self._api.unload(name)

    async def stream(
        self, request: Request, background: bool = False, ahead: bool = False
    ) -> AsyncGenerator[Token, None]:
        """See `Backend.stream`. Work in the background gives way once `max_batch` requests run.

        Nothing goes ahead of what vLLM has; it is only never turned away.
        """
        self._refuse_if_away()
        place = self._enter(background, ahead)
        try:
            async with aclosing(self._tokens(request)) as tokens:
                async for token in tokens:
                    if place.taken:
                        raise Busy
                    place.waiting = False
                    yield token
        except Unreachable as error:
            self._note(str(error))
            raise
        finally:
            self._places.remove(place)
            WAITING.set(self._waiting())

    def _enter(self, background: bool, ahead: bool) -> _Place:
        full = len(self._places) >= self.max_batch
        if full if background else self._waiting() >= self.max_waiting and not ahead:
            raise Busy
        if full:
            self._make_room()
        place = _Place(background)
        self._places.append(place)
        WAITING.set(self._waiting())
        BATCH_SIZE.observe(len(self._places))
        return place

    def _make_room(self) -> None:
        """End one request in the background, at its next token."""
        for place in self._places:
            if place.background and not place.taken:
                place.taken = True
                return

    def _waiting(self) -> int:
        return sum(place.waiting and not place.background for place in self._places)

    async def _tokens(self, request: Request) -> AsyncGenerator[Token, None]:
        spelling = Spelling(self._speller, request)
        async with aclosing(self._steps(request)) as steps:
            async for step in steps:
                token = spelling.take(step)
                if token.broken:
                    raise EngineFailed(BROKEN)
                yield token
                if token.finish is not None:
                    return
        raise EngineFailed(
            "vLLM ended the answer before its end: it stops at tokens that the base does not name"
        )

    async def _steps(self, request: Request) -> AsyncGenerator[Step, None]:
        """What vLLM gives; an adapter that it has lost (it was restarted, say) is loaded again, once."""
        try:
            async with aclosing(self._asked(request)) as steps:
                async for step in steps:
                    yield step
            return
        except NotThere as error:
            if request.adapter is None:
                raise Unreachable(f"vLLM serves the base no more: {error}") from error
        await self._load(request.adapter, self._adapters[request.adapter])
        async with aclosing(self._asked(request)) as steps:
            async for step in steps:
                yield step

    def _asked(self, request: Request) -> AsyncGenerator[Step, None]:
        if request.adapter is not None and request.adapter not in self._adapters:
            raise EngineFailed(f"adapter {request.adapter} is not loaded")
        return self._api.complete(self._speller.body(request, request.adapter or self._base))

    async def _load(self, name: str, folder: Path) -> None:
        async with self._loading:
            there = (await self._api.models()).get(name)
            if there is not None and there.root != str(folder):
                await self._api.unload(name)
            elif there is not None:
                return
            try:
                await self._api.load(name, folder)
            except EngineFailed:  # another server of the same vLLM may have been quicker
                if name not in await self._api.models():
                    raise

    def _refuse_if_away(self) -> None:
        if self._trouble is not None:
            raise Unreachable(self._trouble)

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:
            log.error("no answers until this has passed: %s", trouble)
            self._trouble = trouble

    async def _keep_watching(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            try:
                await self._look()
            except Exception as error:  # whatever listens there now: the watch must go on
                self._note(str(error))

    async def _look(self) -> None:
        if self.alive:
            self._base = find_base(await self._api.models(), self._wanted)
            return
        self._base = await examine(self._api, self._speller, self._wanted)
        for name, folder in list(self._adapters.items()):
            await self._bring_back(name, folder)
        self._trouble = None
        log.info("vLLM answers again")

    async def _bring_back(self, name: str, folder: Path) -> None:
        try:
            await self._load(name, folder)
        except Unreachable:
            raise
        except EngineFailed as error:  # the others can answer; whoever asks for this one tries again
            log.error("adapter %s did not come back: %s", name[:12], error)
