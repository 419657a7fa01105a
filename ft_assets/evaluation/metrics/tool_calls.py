"""Tool calls: read out of generated text, and compared by what they say.

`call_text.py` says which spellings are read. Text between tagged calls is ignored, and the last one need not be
closed, as some templates end the turn there.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ft_assets.evaluation.metrics.call_text import CLOSE, OPEN, Call, json_part, read_json_calls, unpacked

_TAGGED = re.compile(rf"{OPEN}(.*?)(?:{CLOSE}|\Z)", re.DOTALL)


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
    return _calls([json_part(answer)])


def _calls(texts: Iterable[str]) -> list[str] | None:
    try:
        return sorted(_canonical(call) for text in texts for call in read_json_calls(text))
    except (ValueError, RecursionError):
        return None


def _list(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [content]


def _spelt(call: Any) -> str:
    body = call.get("function", call) if isinstance(call, Mapping) else None
    if isinstance(body, Mapping) and "name" in body:
        call = {"name": body["name"], "arguments": unpacked(body.get("arguments"))}
    return json.dumps(call, ensure_ascii=False)


def _canonical(call: Call) -> str:
    """One call as text that is the same for all spellings of it."""
    return json.dumps([call.name, _plain(call.arguments)], sort_keys=True)


def _plain(value: Any) -> Any:
    """JSON has one kind of number: 2.0 is 2, though true is not 1."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
