"""Answers as OpenAI's `chat.completion` and its streamed chunks."""

import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from ft_assets.evaluation.metrics.call_text import Call
from ft_assets.serving.responses import Spell, event, floored, head_of, usage_of
from ft_assets.serving.shapes import (
    CalledFunction,
    ChatChunk,
    ChatCompletion,
    ChatDelta,
    ChatLogprobs,
    ChatMessage,
    Finish,
    TokenLogprob,
    ToolCall,
    TopLogprob,
)
from ft_assets.serving.tool_calls import CallReader, Piece

if TYPE_CHECKING:  # see app.py
    from ft_assets.evaluation.decoding import Token
    from ft_assets.serving.answers import Answer


class ChatFormat:
    """One answer, whole or streamed.

    Args:
        spell: see `Spell`.
        tools: names of what the answer may call.
    """

    def __init__(self, spell: Spell, tools: Collection[str] = ()) -> None:
        self._spell = spell
        self._reader = CallReader(tools)
        self._calls = 0  # given out

    def whole(self, answer: "Answer") -> ChatCompletion:
        """The whole answer."""
        text, calls = self._taken([*self._reader.push(answer.text), *self._reader.finish()])
        message: ChatMessage = {"role": "assistant", "content": text if text or not calls else None}
        if calls:
            message["tool_calls"] = calls
        return {
            **head_of(answer),
            "object": "chat.completion",
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "finish_reason": self._finish(answer),
                    "logprobs": self._logprobs(answer.tokens),
                }
            ],
            "usage": usage_of(answer),
        }

    def first(self, answer: "Answer") -> str:
        """The event that opens a stream."""
        return self._chunk(answer, {"role": "assistant", "content": ""})

    def token(self, answer: "Answer", token: "Token") -> str:
        """The event of one token; empty while there is nothing to tell."""
        delta, logprobs = self._delta(self._reader.push(token.text)), self._logprobs([token])
        return self._chunk(answer, delta or {"content": ""}, logprobs=logprobs) if delta or logprobs else ""

    def last(self, answer: "Answer") -> str:
        """What was held back, and the event that says why the answer ended."""
        delta = self._delta(self._reader.finish())
        held = self._chunk(answer, delta) if delta else ""
        return held + self._chunk(answer, {}, finish=self._finish(answer))

    def usage(self, answer: "Answer") -> str:
        """The event that clients ask for by `stream_options.include_usage`."""
        chunk: ChatChunk = {
            **head_of(answer),
            "object": "chat.completion.chunk",
            "choices": [],
            "usage": usage_of(answer),
        }
        return event(chunk)

    def _chunk(
        self,
        answer: "Answer",
        delta: ChatDelta,
        finish: Finish | None = None,
        logprobs: ChatLogprobs | None = None,
    ) -> str:
        chunk: ChatChunk = {
            **head_of(answer),
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}],
        }
        return event(chunk)

    def _delta(self, pieces: Sequence[Piece]) -> ChatDelta:
        before = self._calls
        text, calls = self._taken(pieces)
        delta: ChatDelta = {}
        if text:
            delta["content"] = text
        if calls:
            delta["tool_calls"] = [{"index": before + at, **call} for at, call in enumerate(calls)]
        return delta

    def _taken(self, pieces: Sequence[Piece]) -> tuple[str, list[ToolCall]]:
        """Pieces as the text and the calls that clients get."""
        calls = [_told(piece) for piece in pieces if isinstance(piece, Call)]
        self._calls += len(calls)
        return "".join(piece for piece in pieces if isinstance(piece, str)), calls

    def _finish(self, answer: "Answer") -> Finish:
        """Why it ended. An answer that was cut off says so even if calls came before: another may be missing."""
        return "tool_calls" if self._calls and answer.finish == "stop" else cast(Finish, answer.finish)

    def _logprobs(self, tokens: Sequence["Token"]) -> ChatLogprobs | None:
        told = [token.odds for token in tokens if token.odds is not None]
        if not told:
            return None
        content: list[TokenLogprob] = [
            {**self._entry(*odds[0]), "top_logprobs": [self._entry(*each) for each in odds[1:]]}
            for odds in told
        ]
        return {"content": content, "refusal": None}

    def _entry(self, token_id: int, value: float) -> TopLogprob:
        text, known = self._spell(token_id)
        return {"token": text, "logprob": floored(value), "bytes": known}


def _told(call: Call) -> ToolCall:
    # ASCII: what a model escapes, such as half a surrogate pair, no UTF-8 can hold.
    function: CalledFunction = {"name": call.name, "arguments": json.dumps(call.arguments)}
    return {"id": f"call_{uuid4().hex}", "type": "function", "function": function}
