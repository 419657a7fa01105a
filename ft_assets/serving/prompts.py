"""Prompts as ids, before they wait for the engine: too long is said at once, with the numbers."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer  # noqa: TID253 (only the service's worker imports this module)

from ft_assets.curation.chat import encode_prompt
from ft_assets.errors import WrongInput
from ft_assets.serving.problems import MAX_SHOWN, ApiProblem
from ft_assets.sources.example import Message

SHORT = 1000
"""Characters that are encoded on the event loop: in 0.4 ms, about what handing them to a thread costs. What takes
longest for its length, digits and emoji, takes 1.5 to 3 ms."""
_TURN = 50
"""Characters that take as long as what a template writes around a turn."""


class Prompts:
    """Encodes with a tokenizer, and what is long with a thread, so that other requests never wait for it.

    Args:
        base: folder of the base model.
        max_tokens: prompt and answer together, where the model itself allows more.
    """

    def __init__(self, base: Path, max_tokens: int) -> None:
        self.max_tokens = min(max_tokens, _positions(base, max_tokens))
        self._tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="prompts")

    async def of_chat(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> list[int]:
        """Ids of a conversation through the base's chat template.

        Raises:
            ApiProblem: 400, it leaves no room for an answer, or the template cannot hold it.
        """
        length = sum(_TURN + len(turn.content) + len(turn.tool_calls or "") for turn in messages)
        short = length <= SHORT and not tools
        return await self._encode(lambda: self._render(messages, tools), "messages", short)

    async def of_text(self, text: str) -> list[int]:
        """Ids of a text as it is. Raises what `of_chat` raises."""
        return await self._encode(lambda: self._tokenizer(text)["input_ids"], "prompt", len(text) <= SHORT)

    def spell(self, token_id: int) -> tuple[str, list[int] | None]:
        """What one token alone looks like, and its bytes; of part of a character its name and None."""
        text = self._tokenizer.decode([token_id], clean_up_tokenization_spaces=False)
        if "\N{REPLACEMENT CHARACTER}" in text:
            return self._tokenizer.convert_ids_to_tokens(token_id), None
        return text, list(text.encode())

    def _render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> list[int]:
        plain = encode_prompt(self._tokenizer, messages)
        if not tools:
            return plain
        ids = encode_prompt(self._tokenizer, messages, tools)
        if ids == plain:
            raise ApiProblem(400, "the base's chat template has no tools", param="tools", code="no_tools")
        return ids

    async def _encode(self, encode: Callable[[], list[int]], param: str, short: bool) -> list[int]:
        try:
            loop = asyncio.get_running_loop()
            ids = encode() if short else await loop.run_in_executor(self._thread, encode)
        except (TemplateError, ValueError, TypeError, RecursionError, WrongInput) as error:
            message = f"the chat template of the base cannot hold these messages: {error}"[:MAX_SHOWN]
            raise ApiProblem(400, message, param=param, code="template") from error
        if not 0 < len(ids) < self.max_tokens:
            raise ApiProblem(
                400,
                f"the prompt has {len(ids)} tokens; prompt and answer together have at most {self.max_tokens}",
                param=param,
                code="context_length_exceeded",
            )
        return ids

    def room(self, prompt_tokens: int, wanted: int) -> int:
        """Tokens that the answer may have."""
        return min(wanted, self.max_tokens - prompt_tokens)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _positions(base: Path, default: int) -> int:
    config = json.loads((base / "config.json").read_text())
    return int(config.get("max_position_embeddings", default))
