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
from ft_assets.serving.access import caller_of
from ft_assets.serving.deliverer import SILENT_SECONDS
from ft_assets.serving.live import live_figures
from ft_assets.serving.live_page import HEADERS, live_page
from ft_assets.serving.problems import ApiProblem
from ft_assets.storage.postgres import heard_within

if TYPE_CHECKING:  # see app.py
    from ft_assets.serving.runtime import Runtime

KEPT_SECONDS = 1.0
REST = 10.0
"""Figures are kept for this many times as long as they took: at most a tenth of one core goes into them."""

_figures = heard_within(SILENT_SECONDS)(live_figures)


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
        caller_of(request, "admin")
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
            return await asyncio.to_thread(_figures, runtime.home, runtime.routes.picture)
        finally:
            now = time.monotonic()
            self._kept_until = now + max(KEPT_SECONDS, REST * (now - began))
