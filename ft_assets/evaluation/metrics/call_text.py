"""How models spell tool calls, read in one way by the gate that judges answers and the service that gives them.

An engine gives text, which spells calls as the base's chat template does. Read are

- `<tool_call>…</tool_call>` (Hermes, Qwen, SmolLM2);
- an answer that is JSON and nothing else, with or without a Markdown fence (Llama 3.1; Mistral). `<|python_tag|>` or
  `[TOOL_CALLS]` may stand before it; where these are control tokens, they are not in the text.

In either, the JSON is one call or a list of them, each `{"name": …, "arguments": …}` (or `parameters`), or as OpenAI
writes it, `{"type": "function", "function": {…}}`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ft_assets.evaluation.metrics.json_text import read_json

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_MARKERS = ("<|python_tag|>", "[TOOL_CALLS]")
_FENCES = ("```json", "```")
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.DOTALL)


@dataclass(frozen=True)
class Call:
    """One call. `arguments` is a JSON object, unless the model wrote something else."""

    name: str
    arguments: Any


def read_json_calls(text: str) -> list[Call]:
    """The calls of a text that is JSON and nothing else: one, or a list of them.

    Raises:
        ValueError: it is not JSON, or something in it is no call.
    """
    content = read_json(text)
    return [_call(each) for each in (content if isinstance(content, list) else [content])]


def json_part(answer: str) -> str:
    """An answer without the marker or the fence that may stand around calls."""
    bare = answer.strip()
    for marker in _MARKERS:
        if bare.startswith(marker):
            return bare.removeprefix(marker)
    fenced = _FENCE.fullmatch(bare)
    return fenced[1] if fenced else bare


def may_be_json_calls(beginning: str) -> bool:
    """Whether an answer that begins so may yet become JSON calls and nothing else; if so, any shorter beginning may."""
    rest = beginning.lstrip()
    for around in (*_MARKERS, *_FENCES):
        if around.startswith(rest):
            return True
        if rest.startswith(around):
            rest = rest.removeprefix(around).lstrip()
            break
    rest = rest.removeprefix("[").lstrip()
    return not rest or (rest[0] == "{" and rest[1:].lstrip()[:1] in ("", '"'))


def unpacked(arguments: Any) -> Any:
    """Arguments as JSON values: OpenAI's are JSON text; none at all are no arguments."""
    if isinstance(arguments, str):
        try:
            arguments = read_json(arguments)
        except ValueError:
            return arguments
    return {} if arguments is None else arguments


def _call(said: Any) -> Call:
    body = said.get("function", said) if isinstance(said, Mapping) else None
    if not isinstance(body, Mapping) or not isinstance(body.get("name"), str):
        raise ValueError("no call")
    return Call(body["name"], unpacked(body.get("arguments", body.get("parameters"))))
