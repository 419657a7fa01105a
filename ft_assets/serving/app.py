"""The routes that clients know, as one Starlette application; BentoML adds health and metrics."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from ft_assets.serving import responses
from ft_assets.serving.access import Access, caller_of
from ft_assets.serving.body import read_body
from ft_assets.serving.feedback import Feedback
from ft_assets.serving.keys import ApiKey
from ft_assets.serving.live_door import BrowserDoor
from ft_assets.serving.live_view import LiveView
from ft_assets.serving.openapi import document
from ft_assets.serving.problems import ApiProblem, answer_crash, answer_problem
from ft_assets.serving.requests import ChatRequest, FeedbackRequest, TextRequest
from ft_assets.serving.shapes import FeedbackStored

if TYPE_CHECKING:  # it brings torch, which BentoML's supervisor shall not load
    from ft_assets.serving.runtime import Runtime


def build_app(file_keys: tuple[ApiKey, ...]) -> Starlette:
    """The application; `app.state.runtime` must be set before the first request.

    Args:
        file_keys: keys beside those of the database; without any, only loopback is answered.
    """

    def keys() -> Sequence[ApiKey] | None:
        runtime: Runtime = app.state.runtime
        picture = runtime.routes.picture
        return [*file_keys, *picture.keys] if file_keys or picture.keyed else None

    routes: list[BaseRoute] = [
        Route("/v1/chat/completions", _chat, methods=["POST"]),
        Route("/v1/completions", _text, methods=["POST"]),
        Route("/v1/models", _models, methods=["GET"]),
        Route("/v1/models/{name}", _model, methods=["GET"]),
        Route("/v1/feedback", _feedback, methods=["POST"]),
        Route("/openapi.json", _document, methods=["GET"]),
        *LiveView().routes(),
        _Nowhere(),
    ]
    handlers = {ApiProblem: answer_problem, HTTPException: _answer_http, Exception: answer_crash}
    guards = [Middleware(BrowserDoor), Middleware(Access, keys)]
    app = Starlette(routes=routes, middleware=guards, exception_handlers=handlers)
    return app


class _Nowhere(BaseRoute):
    """Every other path. BentoML would answer those itself, in a form that clients of the API do not read."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        # As what a wrong method is: it takes nothing from a route that fits, nor from one that refuses the method.
        return (Match.PARTIAL if scope["type"] == "http" else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise ApiProblem(404, "there is no such path; /openapi.json describes the API", code="not_found")


async def _chat(request: Request) -> Response:
    return await _runtime(request).chat.answer(request, ChatRequest)


async def _text(request: Request) -> Response:
    return await _runtime(request).chat.answer(request, TextRequest)


async def _models(request: Request) -> Response:
    caller_of(request, "infer")
    return JSONResponse(responses.models(_runtime(request).routes.picture))


async def _model(request: Request) -> Response:
    caller_of(request, "infer")
    picture = _runtime(request).routes.picture
    return JSONResponse(responses.model(picture, request.path_params["name"]))


async def _feedback(request: Request) -> Response:
    runtime = _runtime(request)
    caller = caller_of(request, "feedback")
    body = await read_body(request, FeedbackRequest, runtime.limits.body_bytes)
    given = Feedback(
        inference_id=body.inference_id,
        kind=body.kind,
        value=body.text(),
        idempotency_key=body.idempotency_key,
        author=runtime.users.of(body.user or request.headers.get("x-ft-user")),
        api_key=caller.key_id,
        any_answer=caller.admin,
        received_at=datetime.now(UTC),
    )
    made = await runtime.recorder.feedback(given)
    told: FeedbackStored = {"inference_id": body.inference_id, "stored": made is not None}
    if made is None:  # it waits on disk for the database
        return JSONResponse({**told, "queued": True}, 202)
    return JSONResponse({**told, "duplicate": not made})


async def _document(request: Request) -> Response:
    runtime = _runtime(request)  # no scope is asked for: it says nothing that the source does not
    return JSONResponse(document(runtime.limits.body_bytes, runtime.prompts.max_tokens))


async def _answer_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return ApiProblem(error.status_code, error.detail, headers=error.headers).response()


def _runtime(request: Request) -> "Runtime":
    return request.app.state.runtime
