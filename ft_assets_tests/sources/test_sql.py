"""A query's rows are streamed from DuckDB; a query that is not one SELECT is refused."""

from pathlib import Path
from typing import Any

import duckdb
import pytest

from ft_assets.errors import WrongInput
from ft_assets.recipe_data import SqlSource
from ft_assets.sources.example import Example
from ft_assets.sources.readers import read_source, source_stamp
from ft_assets.sources.rejected import Rejected
from ft_assets_tests.sources.read import apart


def _read(query: str, **settings: Any) -> tuple[list[Example], list[Rejected]]:
    source = SqlSource.model_validate({"kind": "sql", "query": query, "license": "MIT", **settings})
    return apart(read_source(source))


def test_a_query_over_files_gives_rows_in_order(tmp_path: Path) -> None:
    (tmp_path / "tickets.csv").write_text("question,answer,day\n" + "a,b,2026-01-02\n" * 3_000)
    query = (
        f"SELECT question AS prompt, answer AS completion, day AS created_at FROM '{tmp_path}/tickets.csv'"
    )
    examples, rejected = _read(query)
    assert [example.line for example in examples] == list(range(1, 3_001))
    assert {(example.prompt, example.created_at.day) for example in examples} == {("a", 2)}
    assert examples[0].source.startswith("sql-")
    assert rejected == []


def test_a_database_file_is_read_and_never_written(tmp_path: Path) -> None:
    path = tmp_path / "tickets.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 'a' AS prompt, 'b' AS completion")
    before = path.read_bytes()
    (example,), _ = _read("FROM t", database=str(path))
    assert example.answer == "b"
    assert path.read_bytes() == before
    source = SqlSource(kind="sql", query="FROM t", database=str(path), license="MIT")
    assert source_stamp(source) == source_stamp(source)


def test_nested_values_are_turns() -> None:
    (example,), _ = _read(
        "SELECT [{'role': 'user', 'content': 'a'}, {'role': 'assistant', 'content': 'b'}] AS messages"
    )
    assert (example.prompt, example.answer) == ("a", "b")


def test_rows_that_cannot_be_used_are_rejected() -> None:
    examples, (bad,) = _read(
        "SELECT 'a' AS prompt, CASE WHEN n = 1 THEN 'b' END AS completion FROM range(2) t(n)"
    )
    assert (len(examples), bad.line, bad.reason) == (1, 1, "unknown_shape")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "SELEC 1",
        "SELECT * FROM absent",
        "SELECT * FROM 'absent.parquet'",
        "SELECT 1; SELECT 2",
        "CREATE TABLE t (a INT)",
        "COPY (SELECT 1) TO 'written.csv'",
        "SELECT error('half-way') FROM range(5000) t(n) WHERE n > 4000",
    ],
)
def test_a_query_that_fails_or_does_more_than_select_is_refused(
    query: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WrongInput, match=r"^sql-[0-9a-f]{8}: "):
        _read(query)
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="sql-"):
        _read("SELECT 1", database=str(tmp_path / "absent.duckdb"))
    (tmp_path / "junk.duckdb").write_bytes(b"junk" * 5_000)
    with pytest.raises(WrongInput, match="sql-"):
        _read("SELECT 1", database=str(tmp_path / "junk.duckdb"))


def test_no_rows_are_no_problem() -> None:
    assert _read("SELECT 'a' AS prompt, 'b' AS completion WHERE false") == ([], [])
