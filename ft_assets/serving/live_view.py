"""`GET /live` and `GET /live.json`: how every rollout stands, for holders of a key of scope admin.

The figures are made in a thread and kept for a while, so that people who watch take little from people who ask.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ft_assets.errors import FtAssetsError
from ft_assets.serving.access import caller_of, is_loopback
from ft_assets.serving.live import live_figures
from ft_assets.serving.live_page import HEADERS, live_page
from ft_assets.serving.problems import ApiProblem

if TYPE_CHECKING:  # see app.py
    from ft_assets.serving.runtime import Runtime

KEPT_SECONDS = 1.0
REST = 10.0
"""Figures are kept for this many times as long as they took: at most a tenth of one core goes into them."""


class LiveView:
    """Both routes, and the figures that they share."""

    def __init__(self) -> None:
        self._making: asyncio.Task[dict[str, Any]] | None = None
        self._kept_until = 0.0

    def routes(self) -> list[Route]:
        """What the application adds."""
        return [
            Route("/live", self._page, methods=["GET"]),
            Route("/live.json", self._json, methods=["GET"]),
        ]

    async def _page(self, request: Request) -> Response:
        figures = await self._figures(request)
        return HTMLResponse(await asyncio.to_thread(live_page, figures), headers=HEADERS)

    async def _json(self, request: Request) -> Response:
        return JSONResponse(await self._figures(request), headers=HEADERS)

    async def _figures(self, request: Request) -> dict[str, Any]:
        _refuse_others(request)
        making = self._making
        if making is None or (making.done() and time.monotonic() >= self._kept_until):
            making = self._making = asyncio.create_task(self._make(request.app.state.runtime))
        try:
            return await asyncio.shield(making)  # one who leaves must not end it for the others
        except (SQLAlchemyError, FtAssetsError, OSError) as error:
            raise ApiProblem(503, "the database cannot be read now", code="database_away") from error

    async def _make(self, runtime: "Runtime") -> dict[str, Any]:
        began = time.monotonic()
        try:
            return await asyncio.to_thread(live_figures, runtime.home, runtime.routes.picture)
        finally:
            now = time.monotonic()
            self._kept_until = now + max(KEPT_SECONDS, REST * (now - began))


def _refuse_others(request: Request) -> None:
    """Let in admins; without keys only what was meant for this machine.

    Raises:
        ApiProblem: 403.
    """
    caller = caller_of(request, "admin")
    if caller.key is None and not is_loopback(request.url.hostname or ""):
        # A web page can let a name of its own lead to 127.0.0.1, and would read here what users said.
        raise ApiProblem(403, "open this page as http://127.0.0.1, or make keys", code="wrong_host")
