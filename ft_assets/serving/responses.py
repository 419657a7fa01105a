"""What clients get back: what all answers share, and the list of models."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from ft_assets.registry.ledger import BASE
from ft_assets.serving.routes import Picture, Served
from ft_assets.serving.shapes import Model, ModelList, Usage

if TYPE_CHECKING:  # see app.py
    from ft_assets.serving.answers import Answer

DONE = "data: [DONE]\n\n"

Spell = Callable[[int], tuple[str, list[int] | None]]
"""What one token alone looks like, and its bytes where they are known."""

_LEAST = -9999.0


class Head(TypedDict):
    """What every answer begins with."""

    id: str
    created: int
    model: str


def headers(answer: "Answer") -> dict[str, str]:
    """Who answered, and the id to give feedback under."""
    return {"x-ft-adapter": answer.address, "x-ft-inference-id": answer.inference_id}


def head_of(answer: "Answer") -> Head:
    """Id, time, and who answered."""
    created = int(answer.created_at.timestamp())
    return {"id": answer.inference_id, "created": created, "model": answer.address}


def usage_of(answer: "Answer") -> Usage:
    """Tokens read and made."""
    read, made = answer.prompt_tokens, answer.answer_tokens
    return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}


def floored(logprob: float) -> float:
    """A number that JSON has in place of minus infinity."""
    return max(logprob, _LEAST)


def event(body: Mapping[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(body, ensure_ascii=False, separators=(',', ':'))}\n\n"


def models(picture: Picture) -> ModelList:
    """Everything that may stand in a request's `model`: the base, model names, and addresses."""
    routed = [_routed(name, served) for name, served in picture.models.items()]
    pinned: list[Model] = [
        {**_model(address, int(release.released_at.timestamp())), "candidate": release.candidate}
        for address, release in picture.releases.items()
    ]
    return {"object": "list", "data": [_model(BASE, 0), *routed, *pinned]}


def model(picture: Picture, name: str) -> Model:
    """One entry of `models`.

    Raises:
        ApiProblem: 404, nothing is called so.
    """
    for entry in models(picture)["data"]:
        if entry["id"] == name:
            return entry
    raise picture.unknown(name)


def _model(name: str, created: int) -> Model:
    return {"id": name, "object": "model", "created": created, "owned_by": "ft_assets"}


def _routed(name: str, served: Served) -> Model:
    route = served.route
    return {
        **_model(name, 0),
        "champion": route.champion.address,
        "challenger": route.challenger.address if route.challenger else None,
        "weight": route.weight,
        "rollout": route.rollout,
    }
