"""HTTP connections: how many there are, how long each may keep the server waiting, and how much of a head it sends.

uvicorn limits none of that but the pause between two requests, and BentoML starts it without a place for a protocol of
one's own, so `use` puts ours where uvicorn looks for its usual one. It must be called before uvicorn's server is made.

Beyond the limit a newcomer takes the place of the connection whose client has kept the server waiting longest: for a
request, or for the rest of one. So neither idle clients nor slow ones can lock anybody out, a probe that opens a new
connection included. A connection that is being answered is never closed for another. Once as many as the limit are
being answered, further requests get 503, on `SPARE_CONNECTIONS` beyond the limit; what asks for the server's health
there is answered. That the path is known only once the head is read is why these are places, and no check at the door.
"""

import asyncio
import socket
from itertools import count
from typing import Any, ClassVar

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http import auto
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ft_assets.serving.intake import Intake
from ft_assets.serving.limits import SPARE_CONNECTIONS, Limits, allow_files, read_limits
from ft_assets.serving.metrics import CROWDED
from ft_assets.serving.problems import ApiProblem

HEAD_SECONDS = 20.0
"""From the connection, or the first byte after an answer, to the end of a head; then the connection is closed."""

UNREAD_SECONDS = 60.0
"""A connection is given up whose client has for so long made no room for what waits for it, or acknowledged nothing."""

MAX_HEAD_BYTES = 64 << 10
"""Of a head, and of whatever else comes on end that no body is made of, such as trailers."""

HEALTH = frozenset({b"/healthz", b"/livez", b"/readyz", b"/metrics"})

TELL_SECONDS = 60.0
"""Between two lines of the log that say that places are taken."""

_TURNS = count()
"""Whose turn to send began when; the loop's clock has only milliseconds."""

_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_NO_PLACE = ApiProblem(
    503,
    "all places for connections are taken by requests that are being answered; try again soon",
    code="no_place",
    headers={"Retry-After": "1", "Connection": "close"},
)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with limits on the number of connections, and on the head of a request.

    Attributes:
        most: connections at once, of every server in this process.
    """

    most: ClassVar[int] = Limits.connections
    _told_at: ClassVar[float] = float("-inf")
    _patience: asyncio.TimerHandle | None = None  # while a head is awaited
    _idle_bytes = 0  # in whole pieces, since something of a request began or came
    _turn = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        _give_up_unread(transport)
        self._await_head()
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_read()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._idle_bytes = 0
        self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._patience is not None:  # else it follows the body: uvicorn would take it for part of the head
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._idle_bytes = 0
        self._head_is_read()
        app: Any = self.config.loaded_app if self._has_place() else _answer_no_place
        self.app = Intake(app)  # around all that may answer, BentoML's own pages too
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._idle_bytes = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        self._turn = next(_TURNS)
        super().on_response_complete()

    def data_received(self, data: bytes) -> None:
        self._idle_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._idle_bytes > MAX_HEAD_BYTES:
            self.logger.warning("The head of a request, or its end, has more than %d bytes.", MAX_HEAD_BYTES)
            self.transport.write(_TOO_LONG)
            self.transport.close()
        elif self._is_forgotten():
            self._await_head()

    @property
    def waits(self) -> bool:
        """Whether it is the client's turn: to ask, or to send the rest of what it asks."""
        cycle = self.cycle
        unsent = self.transport.get_write_buffer_size()  # an answer that has ended may still be on its way
        if self.pipeline or unsent:
            return False
        return cycle is None or cycle.response_complete or cycle.more_body

    def _make_room(self) -> None:
        if len(self.connections) <= self.most + SPARE_CONNECTIONS:
            return
        waiting = [each for each in self.connections if isinstance(each, BoundedProtocol) and each.waits]
        longest = min(waiting, key=lambda each: each._turn)  # perhaps this one
        self._tell("closed")
        self.connections.discard(longest)
        longest.transport.abort()  # `close` would first wait for the client to read

    def _has_place(self) -> bool:
        if len(self.connections) <= self.most or self.url.partition(b"?")[0] in HEALTH:
            return True
        answered = sum(not (isinstance(each, BoundedProtocol) and each.waits) for each in self.connections)
        if answered < self.most:
            return True
        self._tell("refused")
        return False

    def _tell(self, outcome: str) -> None:
        CROWDED.labels(outcome).inc()
        if self.loop.time() - BoundedProtocol._told_at < TELL_SECONDS:
            return
        BoundedProtocol._told_at = self.loop.time()
        self.logger.warning(
            "All %d places for connections are taken: those that wait longest are closed, and where all are being "
            "answered, requests get 503. FT_ASSETS_MAX_CONNECTIONS sets how many there are.",
            self.most,
        )

    def _is_forgotten(self) -> bool:
        """Whether nothing ends a wait: what came between two requests (an empty line) ends uvicorn's own."""
        idle = self.cycle is not None and self.cycle.response_complete
        return idle and self._patience is None and self.timeout_keep_alive_task is None

    def _await_head(self) -> None:
        self._head_is_read()
        self._turn = next(_TURNS)
        self._patience = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _head_is_read(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._patience = None


def use() -> None:
    """Let every uvicorn server of this process have `BoundedProtocol`, and the files that its connections need.

    Raises:
        WrongInput: see `read_limits` and `allow_files`.
    """
    limits = read_limits()
    allow_files(limits)
    BoundedProtocol.most = limits.connections
    auto.AutoHTTPProtocol = BoundedProtocol


def _give_up_unread(transport: asyncio.Transport) -> None:
    """Let the system do it (macOS cannot): it sees what is read, and goes on after uvicorn has closed its end."""
    line: socket.socket = transport.get_extra_info("socket")
    tcp = line.family in (socket.AF_INET, socket.AF_INET6)
    if tcp and hasattr(socket, "TCP_USER_TIMEOUT"):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(UNREAD_SECONDS * 1000))


async def _answer_no_place(scope: Scope, receive: Receive, send: Send) -> None:
    await _NO_PLACE.response()(scope, receive, send)
