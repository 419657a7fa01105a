"""Requests that are answered before their body has been read: the rest is dropped, and soon the connection is closed.

Without that a client could be refused and go on sending for ever: uvicorn drops what comes, and waits for the end.
"""

import asyncio

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REST_SECONDS = 1.0
"""How long an answer waits for the rest of a body, so that a client which sends all before it reads gets the answer."""

REST_BYTES = 8 << 20


class Intake:
    """ASGI middleware, outside of all that may answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        body = _Body(receive, announced=_announces_body(scope))

        async def answering(message: Message) -> None:
            if message["type"] == "http.response.start" and not await body.drop():
                MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        await self.app(scope, body.receive, answering)


class _Body:
    """What a client sends after its headers."""

    def __init__(self, receive: Receive, announced: bool) -> None:
        self._receive = receive
        self._more = announced

    async def receive(self) -> Message:
        message = await self._receive()
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def drop(self) -> bool:
        """Read what is left of it; False if that takes too long."""
        if not self._more:  # nearly always, so that no timer is set for nothing
            return True
        left = REST_BYTES
        try:
            async with asyncio.timeout(REST_SECONDS):
                while self._more and left > 0:
                    left -= len((await self.receive()).get("body", b""))
        except TimeoutError:
            return False
        return not self._more


def _announces_body(scope: Scope) -> bool:
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"
