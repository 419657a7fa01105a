"""What clients get back: OpenAI's chat completion, its streamed chunks, and the list of models."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ft_assets.registry.ledger import BASE
from ft_assets.serving.routes import Picture, Served

if TYPE_CHECKING:  # see app.py
    from ft_assets.serving.answers import Answer

DONE = "data: [DONE]\n\n"


def headers(answer: "Answer") -> dict[str, str]:
    """Who answered, and the id to give feedback under."""
    return {"x-ft-adapter": answer.address, "x-ft-inference-id": answer.inference_id}


def completion(answer: "Answer") -> dict[str, Any]:
    """A whole `chat.completion`."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": answer.text},
        "finish_reason": answer.finish,
        "logprobs": None,
    }
    return {**_head(answer, "chat.completion"), "choices": [choice], "usage": _usage(answer)}


def first_chunk(answer: "Answer") -> str:
    """The event that opens a stream."""
    return _chunk(answer, {"role": "assistant", "content": ""})


def text_chunk(answer: "Answer", text: str) -> str:
    """The event that carries some text."""
    return _chunk(answer, {"content": text})


def last_chunk(answer: "Answer") -> str:
    """The event that says why the answer ended."""
    return _chunk(answer, {}, answer.finish)


def usage_chunk(answer: "Answer") -> str:
    """The event that clients ask for by `stream_options.include_usage`."""
    return event({**_head(answer, "chat.completion.chunk"), "choices": [], "usage": _usage(answer)})


def event(body: Mapping[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"


def models(picture: Picture) -> dict[str, Any]:
    """Everything that may stand in a request's `model`: the base, model names, and addresses."""
    routed = [_model(name, 0, _route(served)) for name, served in picture.models.items()]
    pinned = [
        _model(address, int(release.released_at.timestamp()), {"candidate": release.candidate})
        for address, release in picture.releases.items()
    ]
    return {"object": "list", "data": [_model(BASE, 0, {}), *routed, *pinned]}


def model(picture: Picture, name: str) -> dict[str, Any]:
    """One entry of `models`.

    Raises:
        ApiProblem: 404, nothing is called so.
    """
    for entry in models(picture)["data"]:
        if entry["id"] == name:
            return entry
    raise picture.unknown(name)


def _model(name: str, created: int, more: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "ft_assets", **more}


def _route(served: Served) -> dict[str, Any]:
    route = served.route
    challenger = route.challenger.address if route.challenger else None
    return {
        "champion": route.champion.address,
        "challenger": challenger,
        "weight": route.weight,
        "rollout": route.rollout,
    }


def _chunk(answer: "Answer", delta: Mapping[str, Any], finish: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return event({**_head(answer, "chat.completion.chunk"), "choices": [choice]})


def _head(answer: "Answer", kind: str) -> dict[str, Any]:
    created = int(answer.created_at.timestamp())
    return {"id": answer.inference_id, "object": kind, "created": created, "model": answer.address}


def _usage(answer: "Answer") -> dict[str, int]:
    read, made = answer.prompt_tokens, answer.answer_tokens
    return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}
