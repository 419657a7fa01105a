"""Lets people open the live view in a browser, which asks for a password: any name, and an API key.

Only under `/live`, which changes nothing: browsers send a password that they know to wherever a link on any page leads.
"""

import base64
import binascii

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CHALLENGE = 'Basic realm="ft_assets: any name, and an API key of scope admin as password", charset="UTF-8"'


class BrowserDoor:
    """ASGI middleware before `Access`: turns a password into a bearer key, and asks for it where it lacks."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in ("/live", "/live.json"):
            return await self.app(scope, receive, send)

        async def asking(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                MutableHeaders(scope=message).append("www-authenticate", _CHALLENGE)
            await send(message)

        headers = [
            (name, _bearer(value) if name == b"authorization" else value) for name, value in scope["headers"]
        ]
        await self.app({**scope, "headers": headers}, receive, asking)


def _bearer(authorization: bytes) -> bytes:
    """`Bearer KEY` of a basic authorization whose password is a key; anything else as it is."""
    scheme, _, given = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return authorization
    try:
        _, _, key = base64.b64decode(given.strip(), validate=True).partition(b":")
    except binascii.Error:
        return authorization
    return b"Bearer " + key
