"""Tool calls: read out of generated text, and compared by what they say.

An engine gives text, which spells calls as the base's chat template does. Read are

- `<tool_call>…</tool_call>`, once or several times, text between them ignored (Hermes, Qwen, SmolLM2); the last one
  need not be closed, as some templates end the turn there;
- an answer that is JSON and nothing else, with or without a Markdown fence (Llama 3.1; Mistral, whose `[TOOL_CALLS]`
  is a control token and so not in the text).

In either, the JSON is one call or a list of them, each `{"name": …, "arguments": …}` (or `parameters`), or as OpenAI
writes it, `{"type": "function", "function": {…}}`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ft_assets.evaluation.metrics.json_text import read_json

_TAGGED = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)
_FENCE = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.DOTALL)


def same_calls(answer: str, wanted: list[str]) -> bool:
    """Whether an answer makes the wanted calls.

    Names and arguments must be equal as JSON. The calls of one turn are made in parallel, none of them seeing what
    another gave back, so their order says nothing (as in the Berkeley Function-Calling Leaderboard); how often a call
    is made does. Ids of calls, and text beside them, are not compared.

    Args:
        wanted: calls as `reference_calls` gives them.
    """
    return read_calls(answer) == wanted


def reference_calls(calls: str) -> list[str]:
    """The calls of a reference, as `read_calls` gives those of an answer; empty where none can be read.

    Args:
        calls: as rows keep them, OpenAI's list as JSON; empty where there are none.
    """
    return (_calls([calls]) or []) if calls else []


def spell_calls(calls: str) -> list[str]:
    """The calls of a turn as most chat templates spell them, one text each, for people and for metrics of text.

    Args:
        calls: as for `reference_calls`.
    """
    return [f"<tool_call>\n{_spelt(call)}\n</tool_call>" for call in _list(json.loads(calls or "[]"))]


def read_calls(answer: str) -> list[str] | None:
    """The calls that an answer makes, each in one canonical spelling, sorted; None where none can be read."""
    if tagged := _TAGGED.findall(answer):
        return _calls(tagged)
    fenced = _FENCE.fullmatch(answer.strip())
    return _calls([fenced[1] if fenced else answer])


def _calls(texts: Iterable[str]) -> list[str] | None:
    try:
        return sorted(_canonical(call) for text in texts for call in _list(read_json(text)))
    except (ValueError, RecursionError):
        return None


def _list(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _spelt(call: Any) -> str:
    body = call.get("function", call) if isinstance(call, Mapping) else None
    if isinstance(body, Mapping) and "name" in body:
        call = {"name": body["name"], "arguments": _unpacked(body.get("arguments"))}
    return json.dumps(call, ensure_ascii=False)


def _canonical(call: Any) -> str:
    """One call as text that is the same for all spellings of it. Raises ValueError if it is none."""
    body = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(body, Mapping) or not isinstance(body.get("name"), str):
        raise ValueError("no call")
    arguments = body.get("arguments", body.get("parameters"))
    return json.dumps([body["name"], _plain(_unpacked(arguments))], sort_keys=True)


def _unpacked(arguments: Any) -> Any:
    """Arguments as JSON values: OpenAI's are JSON text; none at all are no arguments."""
    if isinstance(arguments, str):
        try:
            arguments = read_json(arguments)
        except ValueError:
            return arguments
    return {} if arguments is None else arguments


def _plain(value: Any) -> Any:
    """JSON has one kind of number: 2.0 is 2, though true is not 1."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
