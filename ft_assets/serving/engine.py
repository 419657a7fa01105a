"""One thread owns the model; requests wait for it in a bounded queue and are decoded together.

A batch takes what waits at that moment, whichever adapters it names, and runs until its last request is done.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ft_assets.evaluation.generation import Engine, Request, Token
from ft_assets.serving.metrics import BATCH_SIZE, WAITING

log = logging.getLogger(__name__)

T = TypeVar("T")


class Busy(Exception):
    """The queue is full."""


class EngineFailed(Exception):
    """The model could not answer; the log says why."""


@dataclass(eq=False)
class _Ticket:
    """A request's place in the queue, and where its tokens go."""

    request: Request
    loop: asyncio.AbstractEventLoop
    tokens: asyncio.Queue[Token | EngineFailed] = field(default_factory=asyncio.Queue)
    cancelled: bool = False

    def put(self, item: Token | EngineFailed) -> None:
        """Hand over from the engine's thread to the event loop."""
        try:
            self.loop.call_soon_threadsafe(self.tokens.put_nowait, item)
        except RuntimeError:  # the loop was closed: nobody listens any more
            self.cancelled = True


class EngineThread:
    """Runs an engine. Start it before use, stop it after.

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
        self._calls: deque[tuple[Future[Any], Callable[[Engine], Any]]] = deque()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether requests are still answered."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Give up whatever runs or waits, and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    async def call(self, work: Callable[[Engine], T]) -> T:
        """Let the engine's thread do something between two steps, and return what it returns."""
        future: Future[T] = Future()
        with self._changed:
            self._refuse_if_stopped()
            self._calls.append((future, work))
            self._changed.notify()
        return await asyncio.wrap_future(future)

    async def stream(self, request: Request) -> AsyncGenerator[Token, None]:
        """Tokens of one answer as they are made. Closing the iterator frees the request's place.

        Raises:
            Busy: too many are waiting.
            EngineFailed: the batch broke.
        """
        ticket = _Ticket(request, asyncio.get_running_loop())
        self._enqueue(ticket)
        try:
            while True:
                item = await ticket.tokens.get()
                if isinstance(item, EngineFailed):
                    raise item
                yield item
                if item.finish is not None:
                    return
        finally:
            ticket.cancelled = True

    def _enqueue(self, ticket: _Ticket) -> None:
        with self._changed:
            self._refuse_if_stopped()
            self._tickets = deque(waiting for waiting in self._tickets if not waiting.cancelled)
            if len(self._tickets) >= self.max_waiting:
                raise Busy
            self._tickets.append(ticket)
            WAITING.set(len(self._tickets))
            self._changed.notify()

    def _refuse_if_stopped(self) -> None:
        if self._stopping or not self.alive:
            raise EngineFailed("the engine is not running")

    def _run(self) -> None:
        while self._wait_for_work():
            self._answer_calls()
            if batch := self._take_batch():
                self._decode(batch)
        self._refuse_the_rest()

    def _wait_for_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._calls or self._tickets or self._stopping)
            return not self._stopping

    def _answer_calls(self) -> None:
        while self._calls:
            _answer(*self._calls.popleft(), self._engine)

    def _take_batch(self) -> list[_Ticket]:
        batch: list[_Ticket] = []
        with self._changed:
            while self._tickets and len(batch) < self.max_batch:
                ticket = self._tickets.popleft()
                if not ticket.cancelled:
                    batch.append(ticket)
            WAITING.set(len(self._tickets))
        return batch

    def _decode(self, batch: Sequence[_Ticket]) -> None:
        BATCH_SIZE.observe(len(batch))
        open_tickets = dict(enumerate(batch))
        try:
            requests = [ticket.request for ticket in batch]
            for step in self._engine.decode(requests, lambda index: self._stopping or batch[index].cancelled):
                for token in step:
                    batch[token.request_index].put(token)
                    if token.finish is not None:
                        del open_tickets[token.request_index]
                self._answer_calls()  # a new adapter must not wait for the end of a long answer
        except Exception:
            log.exception("a batch of %d requests failed", len(batch))
        for ticket in open_tickets.values():  # failed, cancelled, or the server stops
            ticket.put(EngineFailed("the model gave no answer"))

    def _refuse_the_rest(self) -> None:
        for ticket in self._tickets:
            ticket.put(EngineFailed("the server is stopping"))
        for future, _ in self._calls:
            future.cancel()


def _answer(future: Future[Any], work: Callable[[Engine], Any], engine: Engine) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work(engine))
    except Exception as error:
        future.set_exception(error)
