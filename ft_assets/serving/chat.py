"""`POST /v1/chat/completions`: from a request's body to its answer, whole or streamed."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ft_assets.evaluation.generation import Request
from ft_assets.serving import metrics, responses
from ft_assets.serving.adapters import AdapterUnavailable
from ft_assets.serving.answers import Answer, Answerer, new_inference_id
from ft_assets.serving.body import read_body
from ft_assets.serving.engine import Busy, EngineFailed
from ft_assets.serving.problems import ApiProblem
from ft_assets.serving.prompts import Prompts
from ft_assets.serving.requests import ChatRequest
from ft_assets.serving.routes import Routes
from ft_assets.storage.pseudonyms import Pseudonyms

MAX_SLICE = 64
T = TypeVar("T")


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


class Chat:
    """The endpoint."""

    def __init__(self, users: Pseudonyms, routes: Routes, prompts: Prompts, answerer: Answerer) -> None:
        self._users = users
        self._routes = routes
        self._prompts = prompts
        self._answerer = answerer

    async def answer(self, http: HttpRequest) -> Response:
        """Answer one request.

        Raises:
            ApiProblem: 400, 404, 413, 415 for a wrong request; 429 when too many wait; 500, 503 for ours.
        """
        started = time.perf_counter()
        try:
            body = await read_body(http, ChatRequest)
            answer = await self._prepare(http, body, started)
        except ApiProblem:
            metrics.REQUESTS.labels("none", "invalid").inc()
            raise
        texts = self._answerer.texts(answer)
        try:
            if body.stream:
                # Headers wait for the first token: only then is it certain who answers.
                first = await _unless_client_leaves(http, _next(texts))
                usage = body.stream_options is not None and body.stream_options.include_usage
                return _Stream(answer, first, texts, usage)
            await _unless_client_leaves(http, _drain(texts))
        except (Busy, AdapterUnavailable, EngineFailed) as error:
            raise _problem(error) from error
        except ClientLeft:
            return Response(status_code=499)
        return JSONResponse(responses.completion(answer), headers=responses.headers(answer))

    async def _prepare(self, http: HttpRequest, body: ChatRequest, started: float) -> Answer:
        user = self._users.of(body.user or http.headers.get("x-ft-user"))
        inference_id = new_inference_id()
        choice = self._routes.picture.choose(body.model, user or inference_id)
        messages = [turn.message() for turn in body.messages]
        slice_ = _slice(http)
        prompt_tokens = await self._prompts.count(messages)
        request = Request(
            messages=messages,
            adapter=None,
            max_new_tokens=self._prompts.room(prompt_tokens, body.limit() or choice.settings.max_new_tokens),
            temperature=body.temperature or 0.0,
            top_p=1.0 if body.top_p is None else body.top_p,
            seed=body.seed,
            stop=body.stops(),
        )
        return Answer(choice, messages, request, prompt_tokens, user, slice_, started, inference_id)


class _Stream(StreamingResponse):
    """Server-sent events of one answer; stops the work when the client leaves."""

    def __init__(self, answer: Answer, first: str | None, texts: AsyncIterator[str], usage: bool) -> None:
        self._texts = texts
        events = _events(answer, first, texts, usage)
        named = {**responses.headers(answer), "cache-control": "no-store"}
        super().__init__(events, headers=named, media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await _close(self.body_iterator)
            await _close(self._texts)


async def _events(
    answer: Answer, first: str | None, texts: AsyncIterator[str], usage: bool
) -> AsyncIterator[str]:
    yield responses.first_chunk(answer)
    if first is not None:
        yield responses.text_chunk(answer, first)
    try:
        async for text in texts:
            yield responses.text_chunk(answer, text)
    except EngineFailed as error:  # too late for a status: OpenAI's clients raise on this event
        yield responses.event(_problem(error).body())
        return
    yield responses.last_chunk(answer)
    if usage:
        yield responses.usage_chunk(answer)
    yield responses.DONE


def _slice(http: HttpRequest) -> str:
    name = http.headers.get("x-ft-slice", "").strip() or "default"
    if len(name) > MAX_SLICE:
        message = f"x-ft-slice has {len(name)} characters; at most {MAX_SLICE} are kept"
        raise ApiProblem(400, message, param="x-ft-slice", code="too_long")
    return name


def _problem(error: Exception) -> ApiProblem:
    if isinstance(error, Busy):
        message = "too many requests are waiting; try again in a second"
        return ApiProblem(429, message, code="busy", headers={"Retry-After": "1"})
    if isinstance(error, AdapterUnavailable):
        return ApiProblem(503, str(error), param="model", code="adapter_unavailable")
    return ApiProblem(500, str(error), code="engine_failed")


async def _unless_client_leaves(http: HttpRequest, work: Coroutine[Any, Any, T]) -> T:
    task, gone = asyncio.create_task(work), asyncio.create_task(_gone(http))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientLeft
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _gone(http: HttpRequest) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


async def _next(texts: AsyncIterator[str]) -> str | None:
    return await anext(texts, None)


async def _drain(texts: AsyncIterator[str]) -> None:
    async for _ in texts:
        pass


async def _close(iterator: Any) -> None:
    await iterator.aclose()
