"""Who may ask: bearer keys, of which the server holds only hashes.

Keys are those of `ft-assets keys`, and those of a file that an orchestrator mounts.

Environment:
    FT_ASSETS_API_KEYS_FILE: file with the sha256 of each key in hex, one a line; `#` starts a comment. Such a key has
        the scopes infer and feedback, and no limit of its own.
"""

import hashlib
import hmac
import ipaddress
import math
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from ft_assets.errors import WrongInput
from ft_assets.serving.keys import ApiKey
from ft_assets.serving.keys import Scope as KeyScope
from ft_assets.serving.problems import ApiProblem
from ft_assets.serving.rates import Rates

KEYS_FILE = "FT_ASSETS_API_KEYS_FILE"
HOW_TO_MAKE_ONE = (
    "make a key with `ft-assets keys add NAME`, and give it to clients, who send `Authorization: Bearer KEY`"
)
IN_A_FILE = (
    f"{KEYS_FILE} names a file with one line for each key, made by `printf %s KEY | sha256sum | cut -c1-64`"
)


@dataclass(frozen=True)
class Caller:
    """Who asks. Without a key it is someone on this machine, who may do everything."""

    key: ApiKey | None

    @property
    def key_id(self) -> str | None:
        """How interactions name the caller."""
        return self.key and self.key.id

    @property
    def admin(self) -> bool:
        """Whether the caller may act for others."""
        return self.key is None or self.key.may("admin")


def caller_of(request: Request, scope: KeyScope) -> Caller:
    """Who sent a request that `Access` has let in.

    Raises:
        ApiProblem: 403, their key lacks a scope.
    """
    caller: Caller = request.state.caller
    if caller.key is not None and not caller.key.may(scope):
        raise ApiProblem(403, f"this key has no scope {scope!r}", code="missing_scope")
    return caller


def read_keys() -> tuple[ApiKey, ...]:
    """The keys of the file; empty when no file is named.

    Raises:
        WrongInput: the file cannot be read, is empty, or has a line that is no digest.
    """
    name = os.environ.get(KEYS_FILE)
    if not name:
        return ()
    try:
        lines = Path(name).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInput(f"{KEYS_FILE}={name} cannot be read ({error}); {IN_A_FILE}") from error
    digests = [(number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1)]
    for number, digest in digests:
        if digest and not re.fullmatch("[0-9a-fA-F]{64}", digest):
            # The line may be a key that was pasted unhashed, so it is not repeated.
            raise WrongInput(f"{name}:{number} is not the sha256 of a key in hex; {IN_A_FILE}")
    scopes = frozenset({"infer", "feedback"})
    keys = tuple(
        ApiKey(f"file-{digest[:8].lower()}", bytes.fromhex(digest), scopes) for _, digest in digests if digest
    )
    if not keys:
        raise WrongInput(f"{name} holds no key; {IN_A_FILE}")
    return keys


@lru_cache
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
        keys: gives the keys that open something now; None while none was ever made.
    """

    def __init__(self, app: ASGIApp, keys: Callable[[], Sequence[ApiKey] | None]) -> None:
        self.app = app
        self.keys = keys
        self.rates = Rates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["type"] == "http":
                scope.setdefault("state", {})["caller"] = self._caller(scope)
        except ApiProblem as problem:
            return await problem.response()(scope, receive, send)
        await self.app(scope, receive, send)

    def _caller(self, scope: Scope) -> Caller:
        keys = self.keys()
        if keys is not None:
            return Caller(self._known(scope, keys))
        # `server` is the local end of this very connection, whatever address the process was told to bind.
        if not is_loopback((scope.get("server") or ("",))[0]):
            raise _no_keys()
        if not _is_of_this_machine(Headers(scope=scope)):
            raise _wrong_host()
        return Caller(None)

    def _known(self, scope: Scope, keys: Sequence[ApiKey]) -> ApiKey:
        given = dict(scope["headers"]).get(b"authorization", b"")
        scheme, _, key = given.partition(b" ")
        digest = hashlib.sha256(key.strip()).digest()
        found = [
            known for known in keys if hmac.compare_digest(digest, known.digest)
        ]  # all, so time tells nothing
        if scheme.lower() != b"bearer" or not found:
            raise _unknown_key()
        if (rate := found[0].per_minute) and (seconds := self.rates.take(found[0].id, rate)):
            message = f"this key may ask {rate} times a minute; try again in {math.ceil(seconds)} s"
            headers = {"Retry-After": str(math.ceil(seconds))}
            raise ApiProblem(429, message, code="rate_limit_exceeded", headers=headers)
        return found[0]


def _is_of_this_machine(headers: Headers) -> bool:
    """Whether what asks is a program of this machine, or a page that it serves.

    A browser is on loopback too, and a page from elsewhere can let a name of its own lead to 127.0.0.1.
    """
    hosts = [f"//{headers.get('host', '')}", *headers.getlist("origin")]
    try:
        return all(is_loopback(urlsplit(host).hostname or "") for host in hosts)
    except ValueError:
        return False


# Each is made anew: one that is raised again and again keeps every frame that it ever passed.


def _unknown_key() -> ApiProblem:
    message = "send a key that this server knows as `Authorization: Bearer KEY`"
    return ApiProblem(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def _no_keys() -> ApiProblem:
    return ApiProblem(403, f"beyond loopback this server needs API keys: {HOW_TO_MAKE_ONE}", code="no_keys")


def _wrong_host() -> ApiProblem:
    message = (
        "without keys this server answers only what asks for http://127.0.0.1 (or localhost), and web pages only of "
        f"this machine; else {HOW_TO_MAKE_ONE}"
    )
    return ApiProblem(403, message, code="wrong_host")
