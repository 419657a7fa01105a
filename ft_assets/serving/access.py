"""Who may ask: bearer keys, of which the server holds only hashes.

Environment:
    FT_ASSETS_API_KEYS_FILE: file with the sha256 of each key in hex, one a line; `#` starts a comment.
"""

import hashlib
import hmac
import ipaddress
import os
import re
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from ft_assets.errors import WrongInput
from ft_assets.serving.problems import ApiProblem

KEYS_FILE = "FT_ASSETS_API_KEYS_FILE"
HOW_TO_MAKE_ONE = (
    "make a key with `openssl rand -hex 32 | tee api.key | tr -d '\\n' | sha256sum | cut -c1-64 > api.keys`, "
    f"set {KEYS_FILE}=api.keys, and give clients the key in api.key as `Authorization: Bearer KEY`"
)


def read_keys() -> tuple[bytes, ...]:
    """Sha256 digests of the keys that may ask; empty when no file is named.

    Raises:
        WrongInput: the file cannot be read, is empty, or has a line that is no digest.
    """
    name = os.environ.get(KEYS_FILE)
    if not name:
        return ()
    try:
        lines = Path(name).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInput(f"{KEYS_FILE}={name} cannot be read ({error}); {HOW_TO_MAKE_ONE}") from error
    digests = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    for number, digest in digests:
        if digest and not re.fullmatch("[0-9a-fA-F]{64}", digest):
            # The line may be a key that was pasted unhashed, so it is not repeated.
            raise WrongInput(f"{name}:{number} is not the sha256 of a key in hex; {HOW_TO_MAKE_ONE}")
    keys = tuple(bytes.fromhex(digest) for _, digest in digests if digest)
    if not keys:
        raise WrongInput(f"{name} holds no key; {HOW_TO_MAKE_ONE}")
    return keys


def is_loopback(host: str) -> bool:
    """Whether an address reaches only this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Access:
    """ASGI middleware: without keys only loopback is answered; with keys only those who hold one.

    Args:
        app: what it guards.
        keys: sha256 digests of the keys.
    """

    def __init__(self, app: ASGIApp, keys: tuple[bytes, ...]) -> None:
        self.app = app
        self.keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = self._problem(scope) if scope["type"] == "http" else None
        await (problem.response() if problem else self.app)(scope, receive, send)

    def _problem(self, scope: Scope) -> ApiProblem | None:
        if self.keys:
            return None if self._holds_key(scope) else _UNKNOWN_KEY
        # `server` is the local end of this very connection, whatever address the process was told to bind.
        local = (scope.get("server") or ("",))[0]
        return None if is_loopback(local) else _NO_KEYS

    def _holds_key(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, key = given.partition(b" ")
        digest = hashlib.sha256(key.strip()).digest()
        matches = [hmac.compare_digest(digest, known) for known in self.keys]  # all, so time tells nothing
        return scheme.lower() == b"bearer" and any(matches)


_UNKNOWN_KEY = ApiProblem(
    401,
    "send a key that this server knows as `Authorization: Bearer KEY`",
    code="invalid_api_key",
    headers={"WWW-Authenticate": "Bearer"},
)
_NO_KEYS = ApiProblem(403, f"beyond loopback this server needs API keys: {HOW_TO_MAKE_ONE}", code="no_keys")
