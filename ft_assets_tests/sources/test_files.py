"""A file's container is found by its name, else by its first bytes, and can be forced."""

import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ft_assets.errors import WrongInput
from ft_assets_tests.sources.read import lines, read_bytes


def _parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["a"], "completion": ["b"]}), file)
    return file.getvalue()


_CONTENT = {
    "jsonl": lines(1),
    "json": json.dumps([json.loads(lines(1))]).encode(),
    "csv": b"slice,prompt,completion\n,a,b\n",
    "tsv": b"prompt\tcompletion\r\na\tb\r\n",
    "parquet": _parquet(),
}


@pytest.mark.parametrize("kind", _CONTENT)
def test_the_container_is_found(tmp_path: Path, kind: str) -> None:
    for name in (f"a.{kind}", f"A.{kind.upper()}", "a", "a.dat"):
        examples, rejected = read_bytes(tmp_path, name, _CONTENT[kind])
        assert (len(examples), rejected) == (1, []), name
    if kind != "parquet":
        for name in (f"a.{kind}.gz", "a", "a.gz"):
            examples, _ = read_bytes(tmp_path, name, gzip.compress(_CONTENT[kind]))
            assert len(examples) == 1, name


def test_the_container_can_be_forced(tmp_path: Path) -> None:
    examples, _ = read_bytes(tmp_path, "a.txt", b"prompt,completion\na,b\n", type="csv")
    assert len(examples) == 1
    _, (bad,) = read_bytes(tmp_path, "a.csv", b"prompt,completion", type="jsonl")
    assert bad.reason == "not_json"
    with pytest.raises(WrongInput, match="correct `type`"):
        read_bytes(tmp_path, "a.jsonl", lines(1), type="parquet")
