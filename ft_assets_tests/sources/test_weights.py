"""A row says how much it is to count; a weight that is none rejects the row, and no row is lost."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from ft_assets.recipe_data import Source
from ft_assets.sources.batch_files import BatchFiles
from ft_assets.sources.example import EXAMPLE_SCHEMA, Example, Message, fit, from_table, to_table
from ft_assets.sources.readers import read_source
from ft_assets_tests.sources.read import TURNS, apart, read, read_bytes, row

_SHAPES: dict[str, dict[str, Any]] = {
    "messages": {"messages": TURNS},
    "alpaca": {"instruction": "a", "output": "b"},
    "sharegpt": {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    "prompt_completion": {"prompt": "a", "completion": "b"},
    "preference": {"prompt": "a", "chosen": "b", "rejected": "c"},
    "kto": {"prompt": "a", "completion": "b", "label": True},
}


def example(weight: float | None = None) -> Example:
    turns = (Message(role="user", content="Say it."), Message(role="assistant", content="It."))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Example(messages=turns, source="test", license="MIT", created_at=at, weight=weight)


@pytest.mark.parametrize("shape", _SHAPES)
def test_every_shape_of_row_may_carry_a_weight(tmp_path: Path, shape: str) -> None:
    lines = [json.dumps({**_SHAPES[shape], "id": at, **own}) for at, own in enumerate([{}, {"weight": 2}])]
    examples, rejected = read_bytes(tmp_path, "a.jsonl", "\n".join(lines).encode())
    assert [each.weight for each in examples] == [None, 2.0] and rejected == []


def test_tables_carry_it_as_they_hold_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("prompt,completion,weight\na,b,0.5\nc,d,\n")
    rows = [{"prompt": "a", "completion": "b", "weight": 3}, {"prompt": "c", "completion": "d"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    query = "SELECT 'a' AS prompt, 'b' AS completion, 1.25 AS weight"  # a decimal number in DuckDB
    source: Any = TypeAdapter(Source).validate_python({"kind": "sql", "query": query, "license": "MIT"})
    found = [read(tmp_path / "a.csv"), read(tmp_path / "a.parquet"), apart(read_source(source))]
    assert [[each.weight for each in examples] for examples, _ in found] == [[0.5, None], [3.0, None], [1.25]]
    assert all(rejected == [] for _, rejected in found)


@pytest.mark.parametrize(
    ("weight", "reason", "words"),
    [
        ("-1", "wrong_weight", "-1 is no weight"),
        ("NaN", "wrong_weight", "nan is no weight"),
        ("Infinity", "wrong_weight", "inf is no weight"),
        ("1e999", "wrong_weight", "inf is no weight"),
        ("1" + "0" * 400, "wrong_weight", "is no weight"),
        ('"heavy"', "wrong_weight", "'heavy' is no weight"),
        ('"nan"', "wrong_weight", "'nan' is no weight"),
        ("true", "wrong_type", "true or false and not a number"),
        ("[2]", "wrong_type", "a list and not a number"),
        ("0", "zero_weight", "leave the row out"),
        ("-0.0", "zero_weight", "leave the row out"),
    ],
)
def test_a_weight_that_is_none_rejects_the_row_and_loses_nothing(
    tmp_path: Path, weight: str, reason: str, words: str
) -> None:
    bad = row(id=1)[:-1] + f', "weight": {weight}}}'
    content = "\n".join([row(id=0), bad, row(id=2, weight=None)])
    examples, (told,) = read_bytes(tmp_path, "a.jsonl", content.encode())
    assert [each.source for each in examples] == ["a.jsonl#0", "a.jsonl#2"]
    assert (told.line, told.reason) == (2, reason)
    assert told.detail.startswith("field `weight`: ") and words in told.detail, told.detail
    assert told.row == bad[: len(told.row)]


def test_batches_from_before_there_were_weights_keep_their_name(tmp_path: Path) -> None:
    content = {}
    for weight in (None, 1.0, 2.0):
        files = BatchFiles(None)
        (tmp_path / str(weight)).mkdir()
        files.write([example(weight)], tmp_path / str(weight))
        content[weight] = files.content
    turns = (
        '[{"role":"user","content":"Say it.","tool_calls":null},'
        '{"role":"assistant","content":"It.","tool_calls":null}]'
    )
    said = (
        f'{{"messages":{turns},"source":"test","line":null,"license":"MIT","consent":null,"slice":"default",'
        f'"group":null,"author":null,"kind":"seed","parents":[],"rejected":null,"desirable":null}}\n'
    )
    assert content[None] == hashlib.sha256(said.encode()).hexdigest()
    assert len(set(content.values())) == 3


def test_rows_written_before_there_were_weights_are_read() -> None:
    old = to_table([example()]).drop_columns(["weight"])
    for rows in (old, old.to_batches()[0]):
        assert fit(rows, EXAMPLE_SCHEMA).schema.equals(EXAMPLE_SCHEMA)
    assert list(from_table(old)) == [example()]
    with pytest.raises(ValueError, match="license"):
        fit(old.drop_columns(["license"]), EXAMPLE_SCHEMA)
