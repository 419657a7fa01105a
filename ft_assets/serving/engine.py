"""One thread owns the model; requests wait for it in a bounded queue and join its running batch between two steps.

The batch takes what waits, whichever adapters it names. Work in the background takes only places that no user wants,
at once or not at all, and gives its place back when one does: had it waited, it would seem slower than it is.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from ft_assets.errors import WrongInput
from ft_assets.evaluation.decoding import Decoding
from ft_assets.evaluation.generation import Engine, Request, Token
from ft_assets.serving.metrics import BATCH_SIZE, WAITING

log = logging.getLogger(__name__)

T = TypeVar("T")

READ_AT_ONCE = 2_048
"""Tokens of prompts after which newcomers must wait for the next token of those who are answered, who wait for them."""


class Busy(Exception):
    """The queue is full; or, of work in the background, no place is free, or a user wanted its place."""


class EngineFailed(Exception):
    """The model could not answer; the log says why."""


@dataclass(eq=False)
class _Ticket:
    """A request's place in the queue, and where its tokens go."""

    request: Request
    loop: asyncio.AbstractEventLoop
    background: bool
    tokens: asyncio.Queue[Token | Exception] = field(default_factory=asyncio.Queue)
    cancelled: bool = False

    def put(self, item: Token | Exception) -> None:
        """Hand over from the engine's thread to the event loop."""
        try:
            self.loop.call_soon_threadsafe(self.tokens.put_nowait, item)
        except RuntimeError:  # the loop was closed: nobody listens any more
            self.cancelled = True

    def fail(self, error: Exception) -> None:
        """End it with an error; it leaves the batch before the next step."""
        self.cancelled = True
        self.put(error)


class EngineThread:
    """Runs an engine; a `Backend`. Start it before use, stop it after.

    Args:
        engine: from here on touched by this thread only.
        max_batch: requests decoded together; may be changed at any time.
        max_waiting: requests that may wait; more are turned away at once.
    """

    def __init__(self, engine: Engine, max_batch: int = 8, max_waiting: int = 64) -> None:
        self.max_batch = max_batch
        self.max_waiting = max_waiting
        self._engine = engine
        self._changed = threading.Condition()
        self._tickets: deque[_Ticket] = deque()
        self._background: deque[_Ticket] = deque()
        self._running: dict[int, _Ticket] = {}
        self._numbers = count()
        self._calls: deque[tuple[Future[Any], Callable[[Engine], Any]]] = deque()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether requests are still answered."""
        return self._thread.is_alive() and not self._stopping

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    async def stop(self) -> None:
        """Give up whatever runs or waits, and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    async def add_adapter(self, name: str, folder: Path) -> None:
        """Load an adapter. Raises what `Engine.add_adapter` raises, or EngineFailed."""
        await self.call(lambda engine: engine.add_adapter(name, folder))

    async def drop_adapter(self, name: str) -> None:
        """Forget an adapter. Raises what `Engine.drop_adapter` raises, or EngineFailed."""
        await self.call(lambda engine: engine.drop_adapter(name))

    async def call(self, work: Callable[[Engine], T]) -> T:
        """Let the engine's thread do something between two steps, and return what it returns."""
        future: Future[T] = Future()
        with self._changed:
            self._refuse_if_stopped()
            self._calls.append((future, work))
            self._changed.notify()
        return await asyncio.wrap_future(future)

    async def stream(
        self, request: Request, background: bool = False, ahead: bool = False
    ) -> AsyncGenerator[Token, None]:
        """See `Backend.stream`."""
        ticket = _Ticket(request, asyncio.get_running_loop(), background)
        self._enqueue(ticket, ahead)
        try:
            while True:
                item = await ticket.tokens.get()
                if isinstance(item, Exception):
                    raise item
                yield item
                if item.finish is not None:
                    return
        finally:
            ticket.cancelled = True

    def _enqueue(self, ticket: _Ticket, ahead: bool) -> None:
        with self._changed:
            self._refuse_if_stopped()
            for queue in (self._tickets, self._background):
                for left in [waiting for waiting in queue if waiting.cancelled]:
                    queue.remove(left)
            if ahead:
                self._tickets.appendleft(ticket)
            elif ticket.background and self._taken() < self.max_batch:
                self._background.append(ticket)
            elif not ticket.background and len(self._tickets) < self.max_waiting:
                self._tickets.append(ticket)
            else:
                raise Busy
            WAITING.set(len(self._tickets))
            self._changed.notify()

    def _taken(self) -> int:
        """Places of the batch that are taken, or will be by who waits."""
        return len(self._running) + len(self._tickets) + len(self._background)

    def _refuse_if_stopped(self) -> None:
        if not self.alive:
            raise EngineFailed("the engine is not running")

    def _run(self) -> None:
        decoding = self._engine.start(reuse=True)
        while self._wait_for_work():
            self._answer_calls()  # a new adapter must not wait for the end of a long answer
            try:
                self._admit(decoding)
                self._step(decoding)
            except Exception:
                log.exception("a batch of %d requests failed", len(self._running))
                self._fail_all("the model gave no answer")
                decoding.close()
        self._fail_all("the server is stopping")
        decoding.close()

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(
                lambda: self._running or self._calls or self._tickets or self._background or self._stopping
            )
            return not self._stopping

    def _answer_calls(self) -> None:
        while self._calls:
            _answer(*self._calls.popleft(), self._engine)

    def _admit(self, decoding: Decoding[Request]) -> None:
        before, read = len(self._running), 0
        while decoding.open and read < READ_AT_ONCE and (ticket := self._next()) is not None:
            number = next(self._numbers)
            try:
                decoding.join(number, ticket.request)
            except WrongInput as error:
                ticket.fail(EngineFailed(str(error)))
            else:
                self._running[number] = ticket
                read += len(ticket.request.prompt_ids or ())
        if len(self._running) > before:
            BATCH_SIZE.observe(len(self._running))

    def _next(self) -> _Ticket | None:
        """Whose turn it is, if there is a place."""
        with self._changed:
            full = len(self._running) >= self.max_batch
            if full and self._tickets:
                self._make_room()
            while not full and (self._tickets or self._background):
                ticket = (self._tickets or self._background).popleft()
                WAITING.set(len(self._tickets))
                if not ticket.cancelled:
                    return ticket
        return None

    def _make_room(self) -> None:
        """End one request in the background; its place is free after the next step."""
        for ticket in self._running.values():
            if ticket.background:
                if not ticket.cancelled:
                    ticket.fail(Busy())
                return

    def _step(self, decoding: Decoding[Request]) -> None:
        tokens = decoding.step(lambda number: self._running[number].cancelled)
        going = {}
        for token in tokens:
            ticket = self._running[token.request_index]
            if token.broken:
                ticket.fail(
                    EngineFailed("the model gave no number: its weights, or its adapter's, are broken")
                )
            else:
                ticket.put(token)
            if token.finish is None:
                going[token.request_index] = ticket
        self._running = going

    def _fail_all(self, why: str) -> None:
        with self._changed:
            stopping = [*self._tickets, *self._background] if self._stopping else []
            for ticket in [*self._running.values(), *stopping]:
                ticket.put(EngineFailed(why))
            self._running = {}
            if self._stopping:
                for future, _ in self._calls:
                    future.cancel()


def _answer(future: Future[Any], work: Callable[[Engine], Any], engine: Engine) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work(engine))
    except Exception as error:
        future.set_exception(error)
