"""What clients get back: OpenAI's chat and text completions, their streamed chunks, and the list of models."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ft_assets.registry.ledger import BASE
from ft_assets.serving.routes import Picture, Served

if TYPE_CHECKING:  # see app.py
    from ft_assets.evaluation.decoding import Token
    from ft_assets.serving.answers import Answer

DONE = "data: [DONE]\n\n"


def headers(answer: "Answer") -> dict[str, str]:
    """Who answered, and the id to give feedback under."""
    return {"x-ft-adapter": answer.address, "x-ft-inference-id": answer.inference_id}


Spell = Callable[[int], tuple[str, list[int] | None]]
"""What one token alone looks like, and its bytes where they are known."""

LEAST = -9999.0
"""Told in place of minus infinity, which JSON has not."""


class ChatFormat:
    """Answers as `chat.completion` and its chunks."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell

    def whole(self, answer: "Answer") -> dict[str, Any]:
        """The whole answer."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": answer.text},
            "finish_reason": answer.finish,
            "logprobs": self._logprobs(answer.tokens),
        }
        return {**_head(answer, "chat.completion"), "choices": [choice], "usage": _usage(answer)}

    def first(self, answer: "Answer") -> str:
        """The event that opens a stream."""
        return self._chunk(answer, {"role": "assistant", "content": ""})

    def token(self, answer: "Answer", token: "Token") -> str:
        """The event of one token."""
        return self._chunk(answer, {"content": token.text}, logprobs=self._logprobs([token]))

    def last(self, answer: "Answer") -> str:
        """The event that says why the answer ended."""
        return self._chunk(answer, {}, finish=answer.finish)

    def usage(self, answer: "Answer") -> str:
        """The event that clients ask for by `stream_options.include_usage`."""
        return event({**_head(answer, "chat.completion.chunk"), "choices": [], "usage": _usage(answer)})

    def _chunk(
        self, answer: "Answer", delta: Mapping[str, Any], finish: Any = None, logprobs: Any = None
    ) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}
        return event({**_head(answer, "chat.completion.chunk"), "choices": [choice]})

    def _logprobs(self, tokens: Sequence["Token"]) -> dict[str, Any] | None:
        told = [token.odds for token in tokens if token.odds is not None]
        if not told:
            return None
        content = [
            {**self._entry(*odds[0]), "top_logprobs": [self._entry(*each) for each in odds[1:]]}
            for odds in told
        ]
        return {"content": content, "refusal": None}

    def _entry(self, token_id: int, value: float) -> dict[str, Any]:
        text, known = self._spell(token_id)
        return {"token": text, "logprob": max(value, LEAST), "bytes": known}


class TextFormat:
    """Answers as `text_completion` and its chunks."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell

    def whole(self, answer: "Answer") -> dict[str, Any]:
        """The whole answer."""
        choice = self._choice(answer.text, answer.finish, answer.tokens)
        return {**_head(answer, "text_completion"), "choices": [choice], "usage": _usage(answer)}

    def first(self, answer: "Answer") -> str:
        """Nothing opens such a stream."""
        return ""

    def token(self, answer: "Answer", token: "Token") -> str:
        """The event of one token."""
        return self._chunk(answer, self._choice(token.text, None, [token]))

    def last(self, answer: "Answer") -> str:
        """The event that says why the answer ended."""
        return self._chunk(answer, self._choice("", answer.finish, []))

    def usage(self, answer: "Answer") -> str:
        """The event that clients ask for by `stream_options.include_usage`."""
        return event({**_head(answer, "text_completion"), "choices": [], "usage": _usage(answer)})

    def _chunk(self, answer: "Answer", choice: Mapping[str, Any]) -> str:
        return event({**_head(answer, "text_completion"), "choices": [choice]})

    def _choice(self, text: str, finish: Any, tokens: Sequence["Token"]) -> dict[str, Any]:
        return {"index": 0, "text": text, "finish_reason": finish, "logprobs": self._logprobs(tokens)}

    def _logprobs(self, tokens: Sequence["Token"]) -> dict[str, Any] | None:
        told = [token.odds for token in tokens if token.odds is not None]
        if not told:
            return None
        texts = [self._spell(odds[0][0])[0] for odds in told]
        return {
            "tokens": texts,
            "token_logprobs": [max(odds[0][1], LEAST) for odds in told],
            "top_logprobs": [
                {self._spell(name)[0]: max(value, LEAST) for name, value in odds[1:]} for odds in told
            ],
            "text_offset": [sum(map(len, texts[:at])) for at in range(len(texts))],
        }


Format = ChatFormat | TextFormat


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


def _head(answer: "Answer", kind: str) -> dict[str, Any]:
    created = int(answer.created_at.timestamp())
    return {"id": answer.inference_id, "object": kind, "created": created, "model": answer.address}


def _usage(answer: "Answer") -> dict[str, int]:
    read, made = answer.prompt_tokens, answer.answer_tokens
    return {"prompt_tokens": read, "completion_tokens": made, "total_tokens": read + made}
