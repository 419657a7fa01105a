"""Whatever the bytes, reading ends in rows, in rejected rows, or in an error meant for people.

The suite tries 40 inputs with each of the eight tests. FT_ASSETS_FUZZ says how many instead; 10,000 in all:

    FT_ASSETS_FUZZ=1250 pytest ft_assets_tests/sources/test_fuzz.py --hypothesis-show-statistics --timeout 0
"""

import bz2
import csv
import gzip
import io
import json
import lzma
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ft_assets.errors import FtAssetsError
from ft_assets.sources.example import Example, to_table
from ft_assets.sources.rejected import Rejected, rejected_table
from ft_assets_tests.sources.read import TURNS, read_bytes, row

_INPUTS = int(os.environ.get("FT_ASSETS_FUZZ", "40"))
_fuzz = settings(
    max_examples=_INPUTS,
    derandomize=_INPUTS < 1_000,  # the suite is the same every time
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)

_GOOD = row().encode()
_UTF_16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
_PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"PK\x03\x04")

_SCRAPS = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b"\\",
    b"\\ud83d",
    b",",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
]
_SCRAPS += [
    b"PAR1",
    b"\xed\xa0\xbd",
    b"\xe2\x80\xae",
    b"\xe2\x80\xa8",
    b"[" * 2_000,
    b"9" * 5_000,
    _GOOD,
    b"prompt,",
]
_bytes = st.one_of(
    st.binary(max_size=300),
    st.lists(st.one_of(st.sampled_from(_SCRAPS), st.binary(max_size=8))).map(b"".join),
)

_words = st.sampled_from(
    ["user", "human", "gpt", "assistant", "tool", "function_call", "true", "{}", "[1]", "", "\0"]
)
_texts = st.one_of(_words, st.text(max_size=20), st.just("\ud83d"), st.just("\u202e\u200b"))
_leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _texts)
_names = [
    "messages",
    "conversations",
    "prompt",
    "completion",
    "chosen",
    "rejected",
    "label",
    "instruction",
    "output",
]
_names += [
    "input",
    "system",
    "history",
    "id",
    "slice",
    "license",
    "consent",
    "author",
    "created_at",
    "customer",
]
_turn_names = ["role", "content", "from", "value", "tool_calls", "function_call", "type", "text", "name"]
_turns = st.lists(
    st.one_of(
        _leaves, st.dictionaries(st.sampled_from(_turn_names), _leaves, max_size=4), st.sampled_from(TURNS)
    ),
    max_size=4,
)
_junk = st.recursive(
    st.one_of(_leaves, _turns),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_texts, inner, max_size=3)),
    max_leaves=8,
)
_rows = st.dictionaries(st.one_of(st.sampled_from(_names), _texts), _junk, max_size=5)


def _read(name: str, content: bytes, **settings: Any) -> tuple[list[Example], list[Rejected]] | None:
    """Examples and rejected rows, all of which can be stored; None where the whole file was refused."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            examples, rejected = read_bytes(Path(folder), name, content, group_field="customer", **settings)
        except FtAssetsError as error:
            assert str(error)
            return None
    to_table(examples)
    rejected_table(rejected)
    assert all(bad.reason and bad.detail and len(bad.detail) < 2_000 for bad in rejected)
    return examples, rejected


def _count_lines(content: bytes) -> int:
    texts = (line.decode(errors="replace") for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
    return sum(1 for text in texts if text and not text.isspace())


@_fuzz
@given(_bytes)
def test_any_bytes_as_any_container(content: bytes) -> None:
    for name in ("a", "a.jsonl", "a.json", "a.csv", "a.parquet", "a.jsonl.gz", "a.jsonl.zst", "a.csv.xz"):
        _read(name, content)


@_fuzz
@given(_bytes)
def test_every_line_is_accounted_for(content: bytes) -> None:
    if content.startswith((*_UTF_16_OR_32, *_PACKED)):
        return
    read = _read("a.jsonl", content)
    assert sum(map(len, read or ())) == _count_lines(content)


@_fuzz
@given(st.lists(_bytes.map(lambda junk: junk.replace(b"\n", b"")), max_size=5))
def test_no_good_line_is_lost_among_bad_ones(junk: list[bytes]) -> None:
    content = b"\n".join([_GOOD, *(part for line in junk for part in (line, _GOOD))])
    examples, _ = _read("a.jsonl", content) or ([], [])
    good = {2 * index + 1 for index in range(len(junk) + 1)}
    assert good <= {example.line for example in examples}


@_fuzz
@given(st.lists(_rows, min_size=1, max_size=4))
def test_any_fields_as_lines_and_as_a_list(rows: list[dict[str, Any]]) -> None:
    lines = _read("a.jsonl", b"\n".join(json.dumps(each).encode() for each in rows))
    assert lines and sum(map(len, lines)) == len(rows)
    array = _read("a.json", json.dumps(rows, indent=1).encode())
    assert array and [len(found) for found in array] == [len(found) for found in lines]


@_fuzz
@given(st.lists(_rows, min_size=1, max_size=4))
def test_any_fields_as_cells(rows: list[dict[str, Any]]) -> None:
    file = io.StringIO()
    writer = csv.DictWriter(file, fieldnames=_names, extrasaction="ignore", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(
        {name: each if isinstance(each, str) else json.dumps(each) for name, each in r.items()} for r in rows
    )
    read = _read("a.csv", file.getvalue().encode(errors="surrogatepass"))
    assert read and sum(map(len, read)) >= len(rows)


@_fuzz
@given(_bytes)
def test_no_good_record_is_lost_behind_a_bad_one(junk: bytes) -> None:
    good = b'prompt %d,"completion\nof two lines"\n'
    content = (
        b"prompt,completion\n"
        + good % 1
        + junk.replace(b'"', b"")
        + b"\n"
        + b"".join(good % n for n in (2, 3))
    )
    examples, _ = _read("a.csv", content) or ([], [])
    assert {"prompt 1", "prompt 2", "prompt 3"} <= {example.prompt for example in examples}


_PACKERS: list[Callable[[bytes], bytes]] = [gzip.compress, zstandard.compress, bz2.compress, lzma.compress]
_LINES = b"\n".join(row(id=number).encode() for number in range(200))


@pytest.fixture(scope="module")
def parquet() -> bytes:
    """A file of several row groups, shapes and types."""
    count = 200
    table = pa.table(
        {
            "messages": [TURNS, None] * count,
            "id": range(2 * count),
            "prompt": [None, "a"] * count,
            "completion": [None, "b"] * count,
            "label": [None, True] * count,
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=100)
    return file.getvalue()


_damage = st.lists(
    st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=6)), max_size=3
)


def _damaged(content: bytes, damage: list[tuple[float, bytes]], kept: float) -> bytes:
    changed = bytearray(content)
    for place, new in damage:
        start = int(place * len(changed))
        changed[start : start + len(new)] = new
    return bytes(changed[: int(kept * len(changed))])


@_fuzz
@given(st.sampled_from(_PACKERS), _damage, st.one_of(st.just(1.0), st.floats(0, 1)))
def test_damaged_packed_files(
    pack: Callable[[bytes], bytes], damage: list[tuple[float, bytes]], kept: float
) -> None:
    read = _read("a.jsonl", _damaged(pack(_LINES), damage, kept))
    if read is not None:  # too short a piece is no packed file, and may be blank
        examples, rejected = read
        assert len(examples) == 200 or rejected


@_fuzz
@given(_damage, st.one_of(st.just(1.0), st.floats(0, 1)))
def test_damaged_parquet_files(parquet: bytes, damage: list[tuple[float, bytes]], kept: float) -> None:
    read = _read("a.parquet", _damaged(parquet, damage, kept))
    if read and not damage:
        assert (len(read[0]), kept) == (400, 1.0)
