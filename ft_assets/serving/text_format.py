"""Answers as OpenAI's `text_completion`, whole or streamed."""

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, cast

from ft_assets.serving.responses import Spell, event, floored, head_of, usage_of
from ft_assets.serving.shapes import Finish, TextChoice, TextCompletion, TextLogprobs

if TYPE_CHECKING:  # see app.py
    from ft_assets.evaluation.decoding import Token
    from ft_assets.serving.answers import Answer


class TextFormat:
    """One answer. `spell`: see `Spell`."""

    def __init__(self, spell: Spell) -> None:
        self._spell = spell
        self._told = 0  # characters of tokens that were told of

    def whole(self, answer: "Answer") -> TextCompletion:
        """The whole answer."""
        choice = self._choice(answer.text, answer.finish, answer.tokens)
        return {**_body(answer, [choice]), "usage": usage_of(answer)}

    def first(self, answer: "Answer") -> str:
        """Nothing opens such a stream."""
        return ""

    def token(self, answer: "Answer", token: "Token") -> str:
        """The event of one token; empty where there is nothing to tell."""
        if not token.text and token.odds is None:
            return ""
        return event(_body(answer, [self._choice(token.text, None, [token])]))

    def last(self, answer: "Answer") -> str:
        """The event that says why the answer ended."""
        return event(_body(answer, [self._choice("", answer.finish, [])]))

    def usage(self, answer: "Answer") -> str:
        """The event that clients ask for by `stream_options.include_usage`."""
        return event({**_body(answer, []), "usage": usage_of(answer)})

    def _choice(self, text: str, finish: str | None, tokens: Sequence["Token"]) -> TextChoice:
        logprobs = self._logprobs(tokens)
        return {"index": 0, "text": text, "finish_reason": cast(Finish | None, finish), "logprobs": logprobs}

    def _logprobs(self, tokens: Sequence["Token"]) -> TextLogprobs | None:
        told = [token.odds for token in tokens if token.odds is not None]
        if not told:
            return None
        texts = [self._spell(odds[0][0])[0] for odds in told]
        *offsets, self._told = accumulate(map(len, texts), initial=self._told)
        return {
            "tokens": texts,
            "token_logprobs": [floored(odds[0][1]) for odds in told],
            "top_logprobs": [
                {self._spell(name)[0]: floored(value) for name, value in odds[1:]} for odds in told
            ],
            "text_offset": offsets,
        }


def _body(answer: "Answer", choices: list[TextChoice]) -> TextCompletion:
    return {**head_of(answer), "object": "text_completion", "choices": choices}
