"""A request as vLLM wants it, and its tokens as our engine would have given them."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer  # noqa: TID253 (only the service's worker imports this module)

from ft_assets.curation.chat import encode_prompt
from ft_assets.evaluation.decoding import Token
from ft_assets.evaluation.generation import Request
from ft_assets.evaluation.text_stream import TextStream
from ft_assets.serving.vllm_api import Step

_AS_THEY_ARE = {
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""vLLM would take what is not said from the base's `generation_config.json`, which the gate does not."""


class Speller:
    """The base's tokenizer, and the ids that end an answer; no weights.

    Args:
        base: folder of the base model.
    """

    def __init__(self, base: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(base, local_files_only=True)
        self.ends = _end_ids(base, self.tokenizer)

    def prompt(self, request: Request) -> list[int]:
        """Ids of what is asked."""
        given = request.prompt_ids
        return list(given) if given is not None else encode_prompt(self.tokenizer, request.messages)

    def body(self, request: Request, model: str) -> dict[str, Any]:
        """A body for `/v1/completions`.

        Stop strings stay here: `Spelling` sees them, and closing the stream ends the work. Probabilities are always
        asked for, as one that is no number is how broken weights show.
        """
        return {
            "model": model,
            "prompt": self.prompt(request),
            "max_tokens": request.max_new_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            "logprobs": request.logprobs or 0,
            "stop_token_ids": sorted(self.ends),
            **_AS_THEY_ARE,
        }


class Spelling:
    """The tokens of one answer."""

    def __init__(self, speller: Speller, request: Request) -> None:
        self._ends = speller.ends
        self._stream = TextStream(speller.tokenizer, request.stop)
        self._left = request.max_new_tokens
        self._tells = request.logprobs is not None

    def take(self, step: Step) -> Token:
        """One more token; its `finish` says whether it is the last."""
        token = self._spelt(step.token_id)
        return replace(token, odds=step.odds if self._tells else None, broken=step.odds is None)

    def _spelt(self, token_id: int) -> Token:
        self._left -= 1
        if token_id in self._ends:
            return Token(0, self._stream.finish(), token_id, "stop")
        text = self._stream.push(token_id)
        if not self._stream.stopped and self._left == 0:
            text += self._stream.finish()
        finish = "stop" if self._stream.stopped else "length" if self._left == 0 else None
        return Token(0, text, token_id, finish)


def _end_ids(base: Path, tokenizer: Any) -> frozenset[int]:
    """Ids that end an answer: those of the generation settings and the tokenizer's end token."""
    settings = base / "generation_config.json"
    source = settings if settings.exists() else base / "config.json"
    configured = json.loads(source.read_text()).get("eos_token_id")
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(token_id for token_id in [*ids, tokenizer.eos_token_id] if token_id is not None)
