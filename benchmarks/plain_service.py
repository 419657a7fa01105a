"""A bare BentoML endpoint, to which routing, recording and metrics can be added, for `serving_overhead.py`.

It reads JSON and answers the same at once, without a model, whose times vary more than the three cost. They are the
server's own, with their companion. `POST /benchmark/off` leaves them out and stops it, `POST /benchmark/on` is both.
"""

import asyncio
import os
import signal
import time
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import bentoml  # noqa: TID253 (only BentoML's own processes import this module)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ft_assets.serving import metrics
from ft_assets.serving.companion import Companion, Report
from ft_assets.serving.recording import Interaction, Recorder
from ft_assets.serving.routes import Routes
from ft_assets.storage.home import Home

_TEXT = "Return the middle one of the values."


class _Three:
    """Routing, recording and metrics, as `serving/runtime.py` puts them together."""

    def __init__(self) -> None:
        home = Home()
        self.on = True
        self.routes = Routes(home, lambda _: None)
        self.companion = Companion(home, self._heard)
        self._recorder = Recorder(home, self.companion)

    async def start(self) -> None:
        await self.routes.refresh()
        self.companion.start()
        self._fresh = asyncio.create_task(self.routes.keep_fresh())

    async def stop(self) -> None:
        self._fresh.cancel()
        self._recorder.close()
        await self.companion.close()

    def set(self, state: str) -> None:
        self.on = state == "on"
        assert self.companion._process is not None
        os.kill(self.companion._process.pid, signal.SIGCONT if self.on else signal.SIGSTOP)
        if not self.on:
            self._fresh.cancel()
        elif self._fresh.cancelled():
            self._fresh = asyncio.create_task(self.routes.keep_fresh())

    def note(self, body: dict[str, Any], began: float) -> None:
        inference_id = f"chat-{uuid4().hex}"
        choice = self.routes.picture.choose(body["model"], inference_id)
        seconds = time.perf_counter() - began
        metrics.count(choice.arm.address, "ok", 100, 24)
        metrics.observe(choice.arm.address, seconds, seconds)
        self._recorder.record(
            Interaction(
                inference_id=inference_id,
                model=choice.model,
                address=choice.arm.address,
                rollout=choice.rollout,
                user=None,
                messages=body["messages"],
                answer=_TEXT,
                slice="default",
                prompt_tokens=100,
                answer_tokens=24,
                latency_ms=seconds * 1000,
                error=None,
                created_at=datetime.now(UTC),
            )
        )

    def _heard(self, report: Report) -> None:
        self._recorder.heard(report)
        if report["stamp"] is not None:
            self.routes.heard(report["stamp"])


async def _answer(http: Request) -> JSONResponse:
    began = time.perf_counter()
    body = await http.json()
    three: _Three = app.state.three
    if three.on:
        three.note(body, began)
    return JSONResponse({"choices": [{"message": {"role": "assistant", "content": _TEXT}}]})


async def _set(http: Request) -> Response:
    app.state.three.set(http.path_params["state"])
    return Response()


app = Starlette(
    routes=[
        Route("/v1/chat/completions", _answer, methods=["POST"]),
        Route("/benchmark/{state}", _set, methods=["POST"]),
    ]
)


@bentoml.service(name="plain", workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
@bentoml.asgi_app(app, path="/")
class Service:
    """Mounted and started as ours is."""

    @bentoml.on_startup
    async def start(self) -> None:
        """Take the first picture, and start the companion."""
        app.state.three = _Three()
        await app.state.three.start()

    @bentoml.on_shutdown
    async def stop(self) -> None:
        """Hand over the last rows."""
        await app.state.three.stop()
