"""A file that is one JSON list is read element by element."""

import gzip
import json
import lzma
from pathlib import Path

import pytest

from ft_assets.sources import json_array, stored_file
from ft_assets_tests.sources.read import TURNS, read_bytes

_TRICKY = [
    {"messages": [{"role": "user", "content": 'a "quoted" ]},{[ \\'}, TURNS[1]], "n": [1, [2, {}]]},
    {"instruction": "Do.", "input": "", "output": "Dóne."},
    {"messages": TURNS},
]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 18])
def test_elements_are_read_however_they_are_laid_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None, chunk: int
) -> None:
    monkeypatch.setattr(stored_file, "_CHUNK", chunk)
    monkeypatch.setattr(json_array, "_PIECE", chunk)
    content = b"\xef\xbb\xbf \n" + json.dumps(_TRICKY, indent=indent, ensure_ascii=False).encode() + b"\n"
    examples, rejected = read_bytes(tmp_path, "alpaca_data.json", content)
    assert [(example.line, example.answer) for example in examples] == [
        (1, "Hello there."),
        (2, "Dóne."),
        (3, "Hello there."),
    ]
    assert examples[0].prompt == 'a "quoted" ]},{[ \\'
    assert rejected == []


def test_a_bad_element_costs_no_good_one(tmp_path: Path) -> None:
    good = json.dumps({"messages": TURNS}).encode()
    content = b"[" + b", ".join([good, b"3", b'{"a": tru}', b'{"a": "\xff"}', good]) + b"]"
    examples, rejected = read_bytes(tmp_path, "a.json", content)
    assert [example.line for example in examples] == [1, 5]
    assert [(row.line, row.reason) for row in rejected] == [
        (2, "not_an_object"),
        (3, "not_json"),
        (4, "not_utf8"),
    ]


@pytest.mark.parametrize(("cut", "kept"), [(1, 3), (2, 2), (60, 2)])
def test_a_list_that_ends_early_keeps_its_whole_elements(tmp_path: Path, cut: int, kept: int) -> None:
    content = json.dumps(_TRICKY).encode()
    examples, (bad,) = read_bytes(tmp_path, "a.json", content[:-cut])
    assert (len(examples), bad.reason) == (kept, "damaged_file")


def test_a_packed_list_that_breaks_off_keeps_the_elements_before(tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps(_TRICKY * 50).encode())
    examples, (bad,) = read_bytes(tmp_path, "a.json.gz", packed[:-8])
    assert (len(examples), bad.reason) == (150, "damaged_file")


def test_a_text_of_megabytes_in_small_chunks_is_read(tmp_path: Path) -> None:
    rows = [{"prompt": "x" * 15_000_000, "completion": "y"}, *_TRICKY]
    examples, rejected = read_bytes(tmp_path, "a.json.xz", lzma.compress(json.dumps(rows).encode(), preset=0))
    assert (len(examples), rejected) == (4, [])


@pytest.mark.parametrize("more", [b"}", b', {"a": 1}]', b"[]"])
def test_more_behind_the_list_is_told(tmp_path: Path, more: bytes) -> None:
    examples, (bad,) = read_bytes(tmp_path, "a.json", json.dumps(_TRICKY).encode() + more)
    assert (len(examples), bad.reason) == (3, "damaged_file")


def test_lines_in_a_file_called_json_are_lines(tmp_path: Path) -> None:
    examples, _ = read_bytes(tmp_path, "a.json", b"\n".join(json.dumps(row).encode() for row in _TRICKY))
    assert len(examples) == 3
