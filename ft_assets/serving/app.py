"""The routes that clients know, as one Starlette application; BentoML adds health and metrics."""

import asyncio
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ft_assets.serving import responses
from ft_assets.serving.access import Access
from ft_assets.serving.body import read_body
from ft_assets.serving.feedback import store_feedback
from ft_assets.serving.problems import ApiProblem, answer_crash, answer_problem
from ft_assets.serving.requests import FeedbackRequest

if TYPE_CHECKING:  # it brings torch, which BentoML's supervisor shall not load
    from ft_assets.serving.runtime import Runtime


def build_app(keys: tuple[bytes, ...]) -> Starlette:
    """The application; `app.state.runtime` must be set before the first request.

    Args:
        keys: sha256 digests of the API keys; without any, only loopback is answered.
    """
    routes = [
        Route("/v1/chat/completions", _chat, methods=["POST"]),
        Route("/v1/models", _models, methods=["GET"]),
        Route("/v1/models/{name}", _model, methods=["GET"]),
        Route("/v1/feedback", _feedback, methods=["POST"]),
    ]
    handlers = {ApiProblem: answer_problem, HTTPException: _answer_http, Exception: answer_crash}
    return Starlette(routes=routes, middleware=[Middleware(Access, keys)], exception_handlers=handlers)


async def _chat(request: Request) -> Response:
    return await _runtime(request).chat.answer(request)


async def _models(request: Request) -> Response:
    return JSONResponse(responses.models(_runtime(request).routes.picture))


async def _model(request: Request) -> Response:
    picture = _runtime(request).routes.picture
    return JSONResponse(responses.model(picture, request.path_params["name"]))


async def _feedback(request: Request) -> Response:
    runtime = _runtime(request)
    body = await read_body(request, FeedbackRequest)
    author = runtime.users.of(body.user or request.headers.get("x-ft-user"))
    stored = await asyncio.to_thread(store_feedback, runtime.home, body, author)
    return JSONResponse({"inference_id": body.inference_id, "stored": True, "duplicate": not stored})


async def _answer_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return ApiProblem(error.status_code, error.detail, headers=error.headers).response()


def _runtime(request: Request) -> "Runtime":
    return request.app.state.runtime
