"""Every line is an example or is rejected with its file, line, field, and what to write instead."""

import json
import os
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ft_assets.errors import WrongInput
from ft_assets.recipe_data import FileSource
from ft_assets.sources.lines import LONGEST
from ft_assets.sources.readers import read_source
from ft_assets_tests.sources.read import TURNS, read, read_bytes, row


def test_rows_are_read_in_order_with_their_optional_fields(tmp_path: Path) -> None:
    own = row(
        slice="billing",
        id=7,
        license="CC0-1.0",
        consent="terms",
        author="Ann",
        created_at="2026-11-21T10:05:00+02:00",
        whatever=[1],
    )
    path = tmp_path / "chat.jsonl"
    path.write_text(own + "\n\n" + row())
    os.utime(path, (1_700_000_000, 1_700_000_000))
    (first, second), rejected = read(path, consent="asked")
    assert (first.slice, first.source, first.line) == ("billing", "chat.jsonl#7", 1)
    assert (first.license, first.consent, first.author) == ("CC0-1.0", "terms", "Ann")
    assert first.created_at == datetime(2026, 11, 21, 8, 5, tzinfo=UTC)
    assert (second.slice, second.source, second.line) == ("default", "chat.jsonl", 3)
    assert (second.license, second.consent, second.author) == ("MIT", "asked", None)
    assert second.created_at == datetime.fromtimestamp(1_700_000_000, UTC)
    assert first.answer == "Hello there."
    assert rejected == []


@pytest.mark.parametrize(("value", "group"), [("c-1", "c-1"), (12, "12"), (None, None), (float("nan"), None)])
def test_the_group_field_says_what_a_row_belongs_to(tmp_path: Path, value: object, group: str | None) -> None:
    (example,), _ = read_bytes(tmp_path, "a.jsonl", row(customer=value).encode(), group_field="customer")
    assert example.group == group


def test_an_id_that_may_be_an_address_is_left_out_and_the_row_kept(tmp_path: Path) -> None:
    for odd in ("joe@example.com", "x" * 65, [1], ""):
        (example,), _ = read_bytes(tmp_path, "a.jsonl", row(id=odd).encode())
        assert (example.source, example.line) == ("a.jsonl", 1)


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_line_endings_and_a_byte_order_mark_do_not_matter(tmp_path: Path, ending: str) -> None:
    content = b"\xef\xbb\xbf" + ending.join([row(), row()] if ending else [row()]).encode()
    examples, rejected = read_bytes(tmp_path, "a.jsonl", content)
    assert examples[0].prompt == "Hello?"
    assert rejected == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_file_of_another_unicode_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    text = row(slice="日本語\u2028") + "\n{\n" + row()
    examples, rejected = read_bytes(tmp_path, "a.jsonl", text.encode(encoding))
    assert [example.slice for example in examples] == ["日本語\u2028", "default"]
    assert [bad.line for bad in rejected] == [2]
    examples, rejected = read_bytes(tmp_path, "a.jsonl", text.encode(encoding)[:-1])
    assert len(examples) == 1
    assert [bad.reason for bad in rejected] == ["not_json", "damaged_file"]


def test_a_ten_megabyte_line_is_read(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "x" * 10_000_000}, TURNS[1]]
    (example,), _ = read_bytes(tmp_path, "a.jsonl", json.dumps({"messages": turns}).encode())
    assert len(example.prompt) == 10_000_000


def test_a_line_of_a_hundred_megabytes_is_skipped_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(row().encode() + b'\n{"messages": "')
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b'"}\n' + row().encode())
    tracemalloc.start()
    try:
        examples, (bad,) = read(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [example.line for example in examples] == [1, 3]
    assert (bad.line, bad.reason) == (2, "line_too_long")
    assert bad.row.startswith('{"messages": "xxx') and len(bad.row) <= 2_000
    assert peak < 5 * LONGEST


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(row(slice="x" * 100, noise="y" * 10_000) + "\n")
    path.write_bytes(path.read_bytes() * 2_000)
    source = FileSource(kind="file", path=str(path), license="MIT")
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_source(source))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 2_000
    assert peak < path.stat().st_size / 5


def _turn(role: object, content: object) -> str:
    return json.dumps({"messages": [{"role": role, "content": content}, TURNS[1]]})


_DEEP = "[" * 985 + "]" * 985
_BROKEN: dict[str, tuple[bytes | str, str, list[str]]] = {
    "half a line": ('{"messages": [', "not_json", ["write one object"]),
    "NUL bytes": (b'{"messages": "\0\0"}', "not_json", []),
    "two objects on a line": (row() + row(), "not_json", ["Extra data"]),
    "a list": ("[1, 2]", "not_an_object", ["list", "not an object"]),
    "no known field": ('{"text": "hi"}', "unknown_shape", ["'text'", "messages"]),
    "messages as text": ('{"messages": "hi"}', "not_json", ["`messages`"]),
    "messages as number": ('{"messages": 3}', "wrong_type", ["`messages`", "a number and not a list"]),
    "a turn as text": ('{"messages": ["hi"]}', "wrong_type", ["`messages[0]`"]),
    "wrong role": (_turn("humane", "hi"), "wrong_role", ["`messages[0].role`", "'humane'", "user"]),
    "role as list": (_turn([], "hi"), "wrong_type", ["messages[0].role", "write a string"]),
    "no role": ('{"messages": [{"content": "hi"}]}', "wrong_type", ["messages[0].role", "null"]),
    "content as number": (_turn("user", 3), "wrong_type", ["messages[0].content", "number"]),
    "a picture": (_turn("user", [{"type": "image_url"}]), "not_text", ["messages[0].content[0]"]),
    "misspelt field": (
        '{"messages": [{"role": "user", "contents": "hi"}]}',
        "wrong_type",
        ["messages[0].content", "'contents'"],
    ),
    "ten thousand roles": (
        json.dumps({"messages": [{"role": f"role {n}", "content": "x"} for n in range(10_000)]}),
        "wrong_role",
        ["role 0"],
    ),
    "no answer": (json.dumps({"messages": TURNS[:1]}), "no_answer", ["end with the answer"]),
    "no turns": ('{"messages": []}', "no_answer", ["not an assistant's answer"]),
    "answer only": (json.dumps({"messages": TURNS[1:]}), "no_prompt", ["only an answer"]),
    "half a surrogate": (_turn("user", "\ud83d"), "half_surrogate", ["messages[0].content", "ud83d"]),
    "slice as number": (row(slice=3), "wrong_type", ["`slice`", "write a string"]),
    "a novel as slice": (row(slice="x" * 201), "too_long", ["`slice`", "short name"]),
    "author as list": (row(author=["Ann"]), "wrong_type", ["`author`"]),
    "no time": (row(created_at="yesterday"), "wrong_time", ["`created_at`", "ISO 8601"]),
    "time as number": (row(created_at=1700000000), "wrong_type", ["`created_at`", "ISO 8601"]),
    "time out of range": (row(created_at="0001-01-01T00:00:00+10:00"), "wrong_time", ["`created_at`"]),
    "Latin-1": (b'{"messages": "\xe9"}', "not_utf8", ["byte 15", "UTF-8"]),
    "deep nesting": ('{"messages": ' + "[" * 100_000, "too_deep", []),
    "deep tool calls": (
        json.dumps({"messages": [{"role": "assistant", "tool_calls": 1}]}).replace("1", _DEEP),
        "too_deep",
        [],
    ),
    "tool calls that are no JSON": (
        json.dumps({"messages": [{"role": "assistant", "tool_calls": "{"}]}),
        "not_json",
        ["messages[0].tool_calls"],
    ),
    "tool calls without a number": (
        '{"messages": [{"role": "assistant", "tool_calls": [NaN]}]}',
        "broken_tool_call",
        ["messages[0].tool_calls"],
    ),
    "an endless number": ('{"messages": ' + "9" * 5_000 + "}", "not_json", ["not usable JSON"]),
    "an unprintable name": (r'{"\ud83d": 1}', "unknown_shape", ["fields found"]),
}


@pytest.mark.parametrize("name", _BROKEN)
def test_a_bad_line_is_rejected_between_good_ones(tmp_path: Path, name: str) -> None:
    content, reason, words = _BROKEN[name]
    raw = content if isinstance(content, bytes) else content.encode()
    examples, (bad,) = read_bytes(tmp_path, "a.jsonl", b"\n".join([row().encode(), raw, row().encode()]))
    assert [example.line for example in examples] == [1, 3]
    assert (bad.source, bad.line, bad.reason) == ("a.jsonl", 2, reason)
    assert all(word in bad.detail for word in words), bad.detail
    assert len(bad.detail) < 500 and 0 < len(bad.row) <= 2_000
    (bad.detail + bad.row).encode()  # can be stored


def test_what_is_odd_but_plain_is_read(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a\0b \u202e\u200b"}, TURNS[1]] * 5_000
    odd = json.dumps({"messages": turns, "score": float("nan"), "nested": {"a": [[[{}]]]}})
    (example,), _ = read_bytes(tmp_path, "a.jsonl", odd.encode())
    assert len(example.messages) == 10_000
    assert example.messages[0].content == "a\0b \u202e\u200b"


@pytest.mark.parametrize("content", [b"", b"\n \r\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(WrongInput, match=r'a\.jsonl: the file has no rows; .*"messages"'):
        read_bytes(tmp_path, "a.jsonl", content)
