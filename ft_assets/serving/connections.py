"""HTTP connections that neither wait for ever for a request's head nor read it for ever.

uvicorn has no limit for either, and BentoML starts it without a place for a protocol of one's own, so `use` puts ours
where uvicorn looks for its usual one. It must be called before uvicorn's server is made.
"""

import asyncio

from uvicorn.protocols.http import auto
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 20.0
"""From the connection, or a request's first byte, to the end of its headers; then the connection is closed."""

MAX_HEAD_BYTES = 64 << 10

_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with limits on the head of a request."""

    _patience: asyncio.TimerHandle | None = None
    _head_bytes = 0  # beyond what came in one piece with its beginning

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_read()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    def on_headers_complete(self) -> None:
        self._head_is_read()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        before = self._patience
        super().data_received(data)
        if self._patience is None or self._patience is not before or self.transport.is_closing():
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self.logger.warning("The head of a request has more than %d bytes.", MAX_HEAD_BYTES)
            self.transport.write(_TOO_LONG)
            self.transport.close()

    def _await_head(self) -> None:
        self._head_is_read()
        self._patience = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _head_is_read(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
        self._patience, self._head_bytes = None, 0


def use() -> None:
    """Let every uvicorn server of this process have `BoundedProtocol`."""
    auto.AutoHTTPProtocol = BoundedProtocol
