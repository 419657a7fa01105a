"""Chat files: one JSON object a line, `{"messages": [{"role": …, "content": …}, …]}`.

A line that cannot be used ends the reading: a file that is half understood would train half of what
its author meant. What the words say is not judged here; curation does that, row by row.
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, cast, get_args

from ft_assets.errors import WrongInput
from ft_assets.sources.example import Example, Message, Role
from ft_assets.sources.text_file import Line, TextFile

_ROLES = get_args(Role)
_FIELDS = {"role", "content", "tool_calls"}
_EXAMPLE = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'
_ID = re.compile(r"[\w.:-]{1,64}")


def read_chat(path: str, slice: str, license: str) -> Iterator[Example]:
    """Examples of a chat file, in file order, read as a stream.

    Args:
        path: a local path or any fsspec URL.
        slice: of rows that name none themselves in `slice`.

    Rows may also carry `id` (kept in `source`) and `created_at` (ISO 8601; UTC where it names no zone,
    the file's time where it is absent). Other fields are ignored.

    Raises:
        WrongInput: names the file, the line, the field, and what to write instead.
        BrokenEnvironment: the store that the URL names cannot be reached.
    """
    file = TextFile(path)
    empty = True
    for line in file.lines():
        empty = False
        yield _example(line, file, slice, license)
    if empty:
        raise WrongInput(f"{path}: the file has no rows; write one JSON object a line, such as {_EXAMPLE}")


def _example(line: Line, file: TextFile, slice: str, license: str) -> Example:
    try:
        row = _parse(line)
        return Example(
            messages=_messages(row, line),
            source=_source(row, file.name, line),
            license=license,
            slice=_text(row.get("slice", slice), "slice", line),
            created_at=_created_at(row, file.modified, line),
        )
    except RecursionError:
        line.wrong("", "nested too deeply", f"write one object a line: {_EXAMPLE}")


def _parse(line: Line) -> dict[str, Any]:
    try:
        row = json.loads(line.text)
    except json.JSONDecodeError as error:
        line.wrong(
            "", f"not JSON at column {error.colno} ({error.msg})", f"write one object a line: {_EXAMPLE}"
        )
    except ValueError as error:
        line.wrong("", f"not usable JSON ({error})", f"write one object a line: {_EXAMPLE}")
    if not isinstance(row, dict):
        line.wrong("", f"a JSON {_kind(row)} and not an object", f"write {_EXAMPLE}")
    return row


def _messages(row: dict[str, Any], line: Line) -> tuple[Message, ...]:
    if "messages" not in row:
        found = ", ".join(sorted(f"{name!r:.40}" for name in row)[:8]) or "none"
        line.wrong("messages", f"missing (fields found: {found})", f"write {_EXAMPLE}")
    turns = row["messages"]
    if not isinstance(turns, list):
        line.wrong("messages", f"a {_kind(turns)} and not a list", f"write {_EXAMPLE}")
    messages = tuple(_message(turn, f"messages[{index}]", line) for index, turn in enumerate(turns))
    if not messages or messages[-1].role != "assistant":
        line.wrong("messages", "the last turn is not an assistant's answer", "end with the answer to learn")
    if len(messages) < 2:
        line.wrong("messages", "there is only an answer", "put the user's turn before it")
    return messages


def _message(turn: Any, field: str, line: Line) -> Message:
    if not isinstance(turn, dict):
        line.wrong(field, f"a {_kind(turn)} and not an object", 'write {"role": "user", "content": "…"}')
    if unknown := sorted(turn.keys() - _FIELDS):
        line.wrong(field, f"unknown field {unknown[0]!r:.40}", "use role, content and tool_calls only")
    role = _text(turn.get("role"), f"{field}.role", line)
    if role not in _ROLES:
        line.wrong(f"{field}.role", f"{role!r:.40} is no role", f"use one of {', '.join(_ROLES)}")
    calls = turn.get("tool_calls")
    content = turn.get("content")
    if content is None and calls:
        content = ""  # an assistant that only calls tools says nothing
    return Message(
        role=cast(Role, role),
        content=_text(content, f"{field}.content", line),
        tool_calls=json.dumps(calls, sort_keys=True, separators=(",", ":")) if calls else None,
    )


def _text(value: Any, field: str, line: Line) -> str:
    if not isinstance(value, str):
        line.wrong(field, f"{_kind(value)} and not text", "write a string")
    try:
        value.encode()
    except UnicodeEncodeError:
        line.wrong(field, "an escape such as \\ud83d without its second half", "write the whole character")
    return value


def _source(row: dict[str, Any], name: str, line: Line) -> str:
    if row.get("id") is None:
        return f"{name}:{line.number}"
    if not isinstance(row["id"], str | int) or not _ID.fullmatch(str(row["id"])):
        line.wrong("id", f"{row['id']!r:.80} is no id", "use up to 64 letters, digits and . _ : -")
    return f"{name}#{row['id']}"


def _created_at(row: dict[str, Any], otherwise: datetime, line: Line) -> datetime:
    if row.get("created_at") is None:
        return otherwise
    try:
        moment = datetime.fromisoformat(row["created_at"])
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        line.wrong(
            "created_at", f"{row['created_at']!r:.80} is no time", "write ISO 8601, as 2026-11-21T10:05:00Z"
        )


def _kind(value: Any) -> str:
    names = {dict: "object", list: "list", str: "text", bool: "true/false value", type(None): "null"}
    return names.get(type(value), "number")
