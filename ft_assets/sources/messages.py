"""Turns of a conversation in the field's spellings: `role` and `content` (OpenAI), `from` and `value` (ShareGPT)."""

import json
from typing import Any

from ft_assets.sources.example import Message, Role
from ft_assets.sources.row import BadRow, fields_found, text_of, wrong_type

_TURN = 'write {"role": "user", "content": "…"}'
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
}
_CALLS = ("function_call", "tool_call")


def read_turns(value: Any, field: str) -> tuple[Message, ...]:
    """The turns of a list, or of a list as JSON text, which is how a table may hold one.

    Fields of a turn that an example has no place for, such as `name` and `tool_call_id`, are left out.

    Raises:
        BadRow: names the turn, the field, and what to write instead.
    """
    if isinstance(value, str):
        value = _parse(value, field)
    if not isinstance(value, list):
        wrong_type(field, value, "a list", f"{_TURN} for every turn")
    turns = []
    for index, turn in enumerate(value):
        try:
            turns.append(_turn(turn))
        except BadRow as bad:
            raise bad.inside(f"{field}[{index}]") from bad
    return tuple(turns)


def _turn(turn: Any) -> Message:
    if not isinstance(turn, dict):
        wrong_type("", turn, "an object", _TURN)
    if turn.get("role") is None and "from" in turn:
        return _message(turn, "from", "value")
    return _message(turn, "role", "content")


def _message(turn: dict[str, Any], role_field: str, content_field: str) -> Message:
    said, content = text_of(turn.get(role_field), role_field), turn.get(content_field)
    if said in _CALLS:
        calls = _functions(_parse(content, content_field), content_field)
        return Message(role="assistant", content="", tool_calls=calls)
    role = _ROLES.get(said) or _ROLES.get(said.lower())
    if role is None:
        raise BadRow(
            "wrong_role", f"{said!r:.40} is no role; use one of system, user, assistant, tool", role_field
        )
    calls = _tool_calls(turn)
    if content is None and calls:
        content = ""  # an assistant that only calls tools says nothing
    if content is None:
        raise BadRow("wrong_type", f"missing (fields found: {fields_found(turn)}); {_TURN}", content_field)
    return Message(role=role, content=_content(content, content_field), tool_calls=calls)


def _content(value: Any, field: str) -> str:
    """Text, or OpenAI's list of parts, all of them text."""
    if not isinstance(value, list):
        return text_of(value, field)
    texts = []
    for index, part in enumerate(value):
        if not isinstance(part, dict) or part.get("type") != "text":
            raise BadRow("not_text", "a part that is not text; leave the row out", f"{field}[{index}]")
        texts.append(text_of(part.get("text"), f"{field}[{index}].text"))
    return "".join(texts)


def _tool_calls(turn: dict[str, Any]) -> str | None:
    if calls := turn.get("tool_calls"):
        return _canonical(_parse(calls, "tool_calls"), "tool_calls")
    if call := turn.get("function_call"):
        return _functions(_parse(call, "function_call"), "function_call")
    return None


def _functions(calls: Any, field: str) -> str:
    """OpenAI's list of tool calls for the bare `{"name": …, "arguments": …}`, one or several, of older formats."""
    bare = calls if isinstance(calls, list) else [calls]
    for call in bare:
        if not isinstance(call, dict) or not isinstance(call.get("name"), str):
            raise BadRow("broken_tool_call", 'no call; write {"name": …, "arguments": …}', field)
    return _canonical([{"type": "function", "function": call} for call in bare], field)


def _canonical(calls: Any, field: str) -> str:
    try:
        return json.dumps(calls, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadRow("broken_tool_call", f"{error}; write a list of calls as JSON", field) from error


def _parse(value: Any, field: str) -> Any:
    """What JSON text says; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise BadRow("not_json", f"text that is not JSON ({error!s:.80}); write JSON", field) from error
