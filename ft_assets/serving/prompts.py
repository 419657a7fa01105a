"""Measuring prompts before they wait for the engine: too long is said at once, with the numbers."""

import asyncio
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jinja2 import TemplateError
from transformers import AutoTokenizer  # noqa: TID253 (only the service's worker imports this module)

from ft_assets.curation.chat import encode_prompt
from ft_assets.serving.problems import MAX_SHOWN, ApiProblem
from ft_assets.sources.example import Message

MAX_TOKENS = 4096
"""Prompt and answer together, where the model itself allows more."""


class Prompts:
    """Counts tokens with a tokenizer and a thread of its own, so that decoding never waits for a long text.

    Args:
        base: folder of the base model.
    """

    def __init__(self, base: Path) -> None:
        self.max_tokens = min(MAX_TOKENS, _positions(base))
        self._tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prompts")

    async def count(self, messages: Sequence[Message]) -> int:
        """Tokens of a prompt, chat template included.

        Raises:
            ApiProblem: 400, it leaves no room for an answer, or the template cannot hold it.
        """
        loop = asyncio.get_running_loop()
        try:
            tokens = len(await loop.run_in_executor(self._thread, encode_prompt, self._tokenizer, messages))
        except (TemplateError, ValueError) as error:
            message = f"the chat template of the base cannot hold these messages: {error}"[:MAX_SHOWN]
            raise ApiProblem(400, message, param="messages", code="template") from error
        if tokens >= self.max_tokens:
            raise ApiProblem(
                400,
                f"the prompt has {tokens} tokens; prompt and answer together have at most {self.max_tokens}",
                param="messages",
                code="context_length_exceeded",
            )
        return tokens

    def room(self, prompt_tokens: int, wanted: int) -> int:
        """Tokens that the answer may have."""
        return min(wanted, self.max_tokens - prompt_tokens)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _positions(base: Path) -> int:
    config = json.loads((base / "config.json").read_text())
    return int(config.get("max_position_embeddings", MAX_TOKENS))
