"""`POST /v1/chat/completions` and `/v1/completions`: from a request's body to its answer, whole or streamed."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ft_assets.evaluation.decoding import Token
from ft_assets.evaluation.generation import Request
from ft_assets.registry.ledger import BASE
from ft_assets.serving import metrics, responses, traces
from ft_assets.serving.access import Caller, caller_of
from ft_assets.serving.adapters import AdapterUnavailable
from ft_assets.serving.answers import Answer, Answerer, new_inference_id
from ft_assets.serving.body import read_body
from ft_assets.serving.chat_format import ChatFormat
from ft_assets.serving.engine import Busy, EngineFailed
from ft_assets.serving.problems import ApiProblem
from ft_assets.serving.prompts import Prompts
from ft_assets.serving.requests import MAX_SLICE, ChatRequest, TextRequest
from ft_assets.serving.routes import Choice, Routes
from ft_assets.serving.text_format import TextFormat
from ft_assets.sources.example import Message
from ft_assets.storage.pseudonyms import Pseudonyms

T = TypeVar("T")
Format = ChatFormat | TextFormat


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


class Chat:
    """The endpoints."""

    def __init__(
        self, users: Pseudonyms, routes: Routes, prompts: Prompts, answerer: Answerer, max_bytes: int
    ) -> None:
        self._users = users
        self._routes = routes
        self._prompts = prompts
        self._answerer = answerer
        self._max_bytes = max_bytes

    async def answer(self, http: HttpRequest, kind: type[ChatRequest] | type[TextRequest]) -> Response:
        """Answer one request.

        Raises:
            ApiProblem: 400, 403, 404, 408, 413, 415 for a wrong request; 429 when too many wait; 500, 503 for ours.
        """
        started = time.perf_counter()
        try:
            caller = caller_of(http, "infer")
            body = await read_body(http, kind, self._max_bytes)
            answer = await self._prepare(http, body, started, caller)
        except ApiProblem:
            metrics.REQUESTS.labels("none", "invalid").inc()
            raise
        form = self._form(body)
        tokens = traces.followed(self._answerer.tokens(answer), answer, http.headers)
        try:
            if body.stream:
                # Headers wait for the first token: only then is it certain who answers.
                first = await _unless_client_leaves(http, _next(tokens))
                usage = body.stream_options is not None and body.stream_options.include_usage
                return _Stream(answer, first, tokens, usage, form)
            await _unless_client_leaves(http, _drain(tokens))
        except (Busy, AdapterUnavailable, EngineFailed) as error:
            raise _problem(error) from error
        except ClientLeft:
            return Response(status_code=499)
        return JSONResponse(form.whole(answer), headers=responses.headers(answer))

    async def _prepare(
        self, http: HttpRequest, body: ChatRequest | TextRequest, started: float, caller: Caller
    ) -> Answer:
        user = self._users.of(body.user or http.headers.get("x-ft-user"))
        inference_id = new_inference_id()
        choice = self._choose(http, body.model, user or inference_id, caller)
        messages, ids = await self._read(body)
        request = Request(
            messages=messages,
            adapter=None,
            max_new_tokens=self._prompts.room(len(ids), body.limit() or choice.settings.max_new_tokens),
            temperature=body.temperature or 0.0,
            top_p=1.0 if body.top_p is None else body.top_p,
            seed=body.seed,
            stop=body.stops(),
            logprobs=body.alternatives(),
            prompt_ids=ids,
        )
        answer = Answer(choice, messages, request, len(ids), user, _slice(http), started, inference_id)
        answer.api_key, answer.streamed = caller.key_id, bool(body.stream)
        return answer

    async def _read(self, body: ChatRequest | TextRequest) -> tuple[list[Message], list[int]]:
        """The turns to record, and the prompt's ids."""
        if isinstance(body, TextRequest):
            return [Message(role="user", content=body.text())], await self._prompts.of_text(body.text())
        messages = [turn.message() for turn in body.messages]
        return messages, await self._prompts.of_chat(messages, body.offered())

    def _form(self, body: ChatRequest | TextRequest) -> Format:
        if isinstance(body, TextRequest):
            return TextFormat(self._prompts.spell)
        return ChatFormat(self._prompts.spell, body.tool_names())

    def _choose(self, http: HttpRequest, model: str, sticky: str, caller: Caller) -> Choice:
        picture = self._routes.picture
        pinned = http.headers.get("x-ft-adapter")
        if pinned is None:
            return picture.choose(model, sticky)
        if not caller.admin:
            message = "x-ft-adapter is for keys of scope 'admin'"
            raise ApiProblem(403, message, param="x-ft-adapter", code="missing_scope")
        if pinned != BASE and picture.release(pinned) is None:
            raise picture.unknown(pinned)
        return picture.choose(pinned, sticky)


class _Stream(StreamingResponse):
    """Server-sent events of one answer; stops the work when the client leaves."""

    def __init__(
        self, answer: Answer, first: Token | None, tokens: AsyncIterator[Token], usage: bool, form: Format
    ) -> None:
        self._tokens = tokens
        events = _events(answer, first, tokens, usage, form)
        named = {**responses.headers(answer), "cache-control": "no-store"}
        super().__init__(events, headers=named, media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await _close(self.body_iterator)
            await _close(self._tokens)


async def _events(
    answer: Answer, first: Token | None, tokens: AsyncIterator[Token], usage: bool, form: Format
) -> AsyncIterator[str]:
    if opening := form.first(answer):
        yield opening
    try:
        if first is not None and (said := form.token(answer, first)):
            yield said
        async for token in tokens:
            if said := form.token(answer, token):
                yield said
    except EngineFailed as error:  # too late for a status: OpenAI's clients raise on this event
        yield responses.event(_problem(error).body())
        return
    yield form.last(answer)
    if usage:
        yield form.usage(answer)
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
    patience = asyncio.timeout(None)
    gone = asyncio.create_task(_end_when_gone(http, patience))
    try:
        async with patience:
            return await work
    except TimeoutError as error:
        if patience.expired():
            raise ClientLeft from error
        raise
    finally:
        gone.cancel()


async def _end_when_gone(http: HttpRequest, patience: asyncio.Timeout) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
    patience.reschedule(0)


async def _next(tokens: AsyncIterator[Token]) -> Token | None:
    return await anext(tokens, None)


async def _drain(tokens: AsyncIterator[Token]) -> None:
    async for _ in tokens:
        pass


async def _close(iterator: Any) -> None:
    await iterator.aclose()
