"""A chat file is understood whole, or refused with its file, line, field and what to write instead."""

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec
import pytest

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.sources.chat_jsonl import read_chat
from ft_assets.sources.example import Example

_TURNS = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello there."}]


def _row(**fields: Any) -> str:
    return json.dumps({"messages": _TURNS, **fields})


def _read(path: Path | str) -> list[Example]:
    return list(read_chat(str(path), "default", "MIT"))


def _write(tmp_path: Path, content: bytes | str) -> Path:
    path = tmp_path / "chat.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_rows_are_read_in_order_with_their_optional_fields(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        _row(slice="billing", id=7, created_at="2026-11-21T10:05:00+02:00", whatever=[1]) + "\n\n" + _row(),
    )
    os.utime(path, (1_700_000_000, 1_700_000_000))
    first, second = _read(path)
    assert (first.slice, first.source) == ("billing", "chat.jsonl#7")
    assert first.created_at == datetime(2026, 11, 21, 8, 5, tzinfo=UTC)
    assert (second.slice, second.source) == ("default", "chat.jsonl:3")
    assert second.created_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert first.answer == "Hello there."


def test_tool_calls_are_kept_as_json_and_need_no_content(tmp_path: Path) -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    turns = [
        _TURNS[0],
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "42"},
        _TURNS[1],
    ]
    (example,) = _read(_write(tmp_path, json.dumps({"messages": turns})))
    assert json.loads(example.messages[1].tool_calls or "") == calls


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_line_endings_and_a_byte_order_mark_do_not_matter(tmp_path: Path, ending: str) -> None:
    content = b"\xef\xbb\xbf" + ending.join([_row(), _row()] if ending else [_row()]).encode()
    assert _read(_write(tmp_path, content))[0].prompt == "Hello?"


def test_a_ten_megabyte_line_is_read(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "x" * 10_000_000}, _TURNS[1]]
    (example,) = _read(_write(tmp_path, json.dumps({"messages": turns})))
    assert len(example.prompt) == 10_000_000


def test_compressed_and_remote_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl.gz"
    path.write_bytes(gzip.compress(_row().encode()))
    assert len(_read(path)) == 1
    with fsspec.open("memory://folder/chat.jsonl", "wb") as file:
        file.write(_row().encode())  # pyright: ignore[reportAttributeAccessIssue]
    assert _read("memory://folder/chat.jsonl")[0].source == "chat.jsonl:1"


_BROKEN: dict[str, tuple[bytes | str, list[str]]] = {
    "empty file": ("", ["no rows", '{"messages"']),
    "blank lines only": ("\n \r\n\n", ["no rows"]),
    "malformed JSON": (_row() + '\n{"messages": [', ["line 2", "not JSON", "write one object"]),
    "NUL bytes": (b'{"messages": "\0\0"}', ["line 1", "not JSON"]),
    "two objects on a line": (_row() + _row(), ["line 1", "not JSON", "Extra data"]),
    "a list": ("[1, 2]", ["line 1", "list", "not an object"]),
    "missing column": ('{"text": "hi"}', ["line 1", "`messages`", "missing", "'text'"]),
    "messages as text": ('{"messages": "hi"}', ["line 1", "`messages`", "text and not a list"]),
    "a turn as text": ('{"messages": ["hi"]}', ["line 1", "`messages[0]`"]),
    "wrong role": (
        '{"messages": [{"role": "human", "content": "hi"}]}',
        ["messages[0].role", "'human'", "user"],
    ),
    "role as list": ('{"messages": [{"role": [], "content": "hi"}]}', ["messages[0].role", "write a string"]),
    "content as number": (
        '{"messages": [{"role": "user", "content": 3}]}',
        ["messages[0].content", "number"],
    ),
    "misspelt field": ('{"messages": [{"role": "user", "contents": "hi"}]}', ["messages[0]", "'contents'"]),
    "no answer": (json.dumps({"messages": _TURNS[:1]}), ["`messages`", "not an assistant's answer"]),
    "no turns": ('{"messages": []}', ["`messages`", "not an assistant's answer"]),
    "answer only": (json.dumps({"messages": _TURNS[1:]}), ["`messages`", "only an answer"]),
    "half a surrogate": (
        r'{"messages": [{"role": "user", "content": "\ud83d"}]}',
        ["messages[0].content", "ud83d"],
    ),
    "slice as number": (_row(slice=3), ["`slice`", "write a string"]),
    "id with an address": (_row(id="joe@example.com"), ["`id`", "letters, digits"]),
    "no time": (_row(created_at="yesterday"), ["`created_at`", "ISO 8601"]),
    "time as number": (_row(created_at=1700000000), ["`created_at`", "ISO 8601"]),
    "time out of range": (_row(created_at="0001-01-01T00:00:00+10:00"), ["`created_at`"]),
    "UTF-16": (_row().encode("utf-16"), ["line 1", "UTF-16", "save it as UTF-8"]),
    "Latin-1": (_row().encode() + "\n{é".encode("latin-1"), ["line 2", "byte 2 is not UTF-8"]),
    "deep nesting": ('{"messages": ' + "[" * 100_000, ["line 1", "nested too deeply"]),
    "deep tool calls": (
        '{"messages": [{"role": "assistant", "content": "", "tool_calls": ' + "[" * 985 + "]" * 985 + "}]}",
        ["line 1"],
    ),
    "an endless number": ('{"messages": ' + "9" * 5_000 + "}", ["line 1", "not usable JSON"]),
    "an unprintable name": (r'{"\ud83d": 1}', ["line 1", "missing"]),
}


@pytest.mark.parametrize("name", _BROKEN)
def test_what_cannot_be_used_is_refused_with_its_place(tmp_path: Path, name: str) -> None:
    content, words = _BROKEN[name]
    path = _write(tmp_path, content)
    with pytest.raises(WrongInput) as refusal:
        _read(path)
    message = str(refusal.value)
    assert message.startswith(str(path))
    assert all(word in message for word in words), message
    assert len(message) < 500
    message.encode()  # can be printed


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="no such file"):
        _read(tmp_path / "absent.jsonl")
    with pytest.raises(WrongInput, match="name a file that can be read"):
        _read(tmp_path)
    with pytest.raises((WrongInput, BrokenEnvironment), match="nowhere"):
        _read("nowhere://bucket/chat.jsonl")
    damaged = tmp_path / "chat.jsonl.gz"
    damaged.write_bytes(gzip.compress(_row().encode() * 100)[:-12])
    with pytest.raises(WrongInput, match="damaged"):
        _read(damaged)
    damaged.write_bytes(b"not gzip")
    with pytest.raises(WrongInput, match="damaged"):
        _read(damaged)
