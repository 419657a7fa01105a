"""CSV records become rows, and one bad record costs no good one."""

import csv
import io
from pathlib import Path

import pytest

from ft_assets.sources.example import Example
from ft_assets.sources.lines import LONGEST
from ft_assets_tests.sources.read import read_bytes

_HEADER = "prompt,completion\n"


def _pairs(examples: list[Example]) -> list[tuple[int | None, str, str]]:
    return [(example.line, example.prompt, example.answer) for example in examples]


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_quoted_cells_hold_anything(tmp_path: Path, delimiter: str, ending: str) -> None:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator=ending)
    writer.writerows([["prompt", "completion"], ['a, "b"; \tc', "x\n\ny"], ["second", "z"]])
    examples, rejected = read_bytes(tmp_path, "a.csv", b"\xef\xbb\xbf" + file.getvalue().encode())
    assert _pairs(examples) == [(2, 'a, "b"; \tc', "x\n\ny"), (5, "second", "z")]
    assert rejected == []


def test_an_empty_cell_is_no_value(tmp_path: Path) -> None:
    content = b"instruction,input,output,prompt,completion,slice\nDo.,,Done.,,,\n,,,Say.,Said.,s\n"
    examples, rejected = read_bytes(tmp_path, "a.csv", content)
    assert _pairs(examples) == [(2, "Do.", "Done."), (3, "Say.", "Said.")]
    assert [example.slice for example in examples] == ["default", "s"]
    assert rejected == []


def test_messages_as_json_text_are_read(tmp_path: Path) -> None:
    file = io.StringIO()
    turns = '[{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Hi."}]'
    csv.writer(file).writerows([["messages"], [turns]])
    (example,), _ = read_bytes(tmp_path, "a.csv", file.getvalue().encode())
    assert (example.prompt, example.answer) == ("Hi?", "Hi.")


@pytest.mark.parametrize(
    ("bad", "reasons"),
    [
        ("one\n", ["wrong_columns"]),
        ("one,two,three\n", ["wrong_columns"]),
        ('one,"never closed\n', ["wrong_columns"]),
        ('"never closed\n', ["wrong_columns"]),
        ('one,"closed" twice"\n', []),
        ("one,two\rthree\n", ["wrong_columns"]),
        (",\n", ["unknown_shape"]),
        ("\udcff,two\n", ["not_utf8"]),
    ],
)
def test_a_bad_record_costs_no_good_one(tmp_path: Path, bad: str, reasons: list[str]) -> None:
    content = f"{_HEADER}a,b\n{bad}c,d\n\n" + 'e,"f\ng"\n' + "h,i\n"
    examples, rejected = read_bytes(tmp_path, "a.csv", content.encode(errors="surrogateescape"))
    good = [(2, "a", "b"), (4, "c", "d"), (6, "e", "f\ng"), (8, "h", "i")]
    assert [pair for pair in _pairs(examples) if pair[0] != 3] == good
    assert [(row.line, row.reason) for row in rejected] == [(3, reason) for reason in reasons]


def test_a_record_with_a_line_that_is_not_utf8_is_rejected_whole(tmp_path: Path) -> None:
    content = _HEADER.encode() + b'a,"b\n\xff\nc"\nd,e\n'
    examples, rejected = read_bytes(tmp_path, "a.csv", content)
    assert _pairs(examples) == [(5, "d", "e")]
    assert [(row.line, row.reason) for row in rejected] == [
        (2, "wrong_columns"),
        (3, "not_utf8"),
        (4, "wrong_columns"),
    ]


def test_a_cell_of_megabytes_is_read_and_one_over_the_limit_is_not(tmp_path: Path) -> None:
    content = f"{_HEADER}a,{'x' * 5_000_000}\nb,{'x' * (LONGEST + 1)}\nc,d\n"
    examples, (bad,) = read_bytes(tmp_path, "a.csv", content.encode())
    assert [example.line for example in examples] == [2, 4]
    assert (bad.line, bad.reason) == (3, "line_too_long")


def test_a_quote_that_swallows_megabytes_of_lines_is_given_up(tmp_path: Path) -> None:
    good = f"a,{'x' * 1_000}\n"
    content = f'{_HEADER}b,"never closed\n' + good * (LONGEST // 1_000 + 10)
    examples, (bad,) = read_bytes(tmp_path, "a.csv", content.encode())
    assert len(examples) == LONGEST // 1_000 + 10
    assert bad.line == 2


def test_a_header_that_cannot_be_read_names_nothing(tmp_path: Path) -> None:
    examples, rejected = read_bytes(tmp_path, "a.csv", b"prompt,\xff\na,b\n")
    assert examples == []
    assert [(row.line, row.reason) for row in rejected] == [(1, "not_utf8"), (2, "wrong_columns")]
    _, rejected = read_bytes(tmp_path, "a.csv", b"question,answer\na,b\n")
    assert rejected[0].reason == "unknown_shape" and "'answer', 'question'" in rejected[0].detail
