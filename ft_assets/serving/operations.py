"""Every operation of the service, as its OpenAPI document tells of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ft_assets.serving import shapes
from ft_assets.serving.requests import MAX_SLICE, ChatRequest, FeedbackRequest, TextRequest

JSON = "application/json"
_USER = ("x-ft-user", "The user, if the body names none. Stored as a keyed hash.", {})
_SLICE = ("x-ft-slice", "What the request is about, for figures by slice.", {"maxLength": MAX_SLICE})
_ADAPTER = ("x-ft-adapter", "An address, or `base`, that shall answer; for keys of scope `admin`.", {})


@dataclass(frozen=True)
class Operation:
    """One method of one path.

    Attributes:
        path: as OpenAPI and Starlette both write it.
        method: in small letters.
        name: an id for programs.
        text: what it does.
        answers: by status and media type, the type of the body; None for what is not JSON.
        problems: statuses of an error that only such operations have.
        body: the model that parses the body.
        headers: of the request: name, description and schema.
        named: headers that say who answered go with the answer.
    """

    path: str
    method: str
    name: str
    text: str
    answers: Mapping[int, Mapping[str, Any]]
    problems: tuple[int, ...] = ()
    body: type | None = None
    headers: tuple[tuple[str, str, dict[str, Any]], ...] = ()
    named: bool = False


_READING = (400, 408, 413, 415)
_ANSWERING = (*_READING, 404, 500, 504)

OPERATIONS = (
    Operation(
        "/v1/chat/completions",
        "post",
        "chat",
        "Answer a conversation, whole or (`stream`) as server-sent events, the data of each a ChatChunk, the last one"
        " `[DONE]`. What fails after the first token is an event with an ErrorBody. Scope `infer`.",
        {200: {JSON: shapes.ChatCompletion, "text/event-stream": None}},
        _ANSWERING,
        ChatRequest,
        (_USER, _SLICE, _ADAPTER),
        named=True,
    ),
    Operation(
        "/v1/completions",
        "post",
        "complete",
        "Go on with a text, without the chat template, whole or (`stream`) as server-sent events, the data of each a"
        " TextCompletion. Scope `infer`.",
        {200: {JSON: shapes.TextCompletion, "text/event-stream": None}},
        _ANSWERING,
        TextRequest,
        (_USER, _SLICE, _ADAPTER),
        named=True,
    ),
    Operation(
        "/v1/models", "get", "models", "What may be asked. Scope `infer`.", {200: {JSON: shapes.ModelList}}
    ),
    Operation(
        "/v1/models/{name}",
        "get",
        "model",
        "One entry of the list. Scope `infer`.",
        {200: {JSON: shapes.Model}},
        (404,),
    ),
    Operation(
        "/v1/feedback",
        "post",
        "feedback",
        "Say something about an answer; 202 where it waits on disk for the database. Scope `feedback`.",
        {200: {JSON: shapes.FeedbackStored}, 202: {JSON: shapes.FeedbackStored}},
        (*_READING, 404, 409),
        FeedbackRequest,
        (_USER,),
    ),
    Operation(
        "/live",
        "get",
        "live",
        "How all rollouts stand, as a page. Scope `admin`.",
        {200: {"text/html": None}},
    ),
    Operation(
        "/live.json",
        "get",
        "figures",
        "How all rollouts stand. Scope `admin`.",
        {200: {JSON: shapes.LiveFigures}},
    ),
    Operation("/openapi.json", "get", "document", "This document. Any scope.", {200: {JSON: dict[str, Any]}}),
)
