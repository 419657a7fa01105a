"""`ft-assets curate`: every row of every file comes out once, and wrong input leaves nothing behind."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result

from ft_assets.cli import cli
from ft_assets.errors import BrokenEnvironment, FtAssetsError, WrongInput
from ft_assets.recipe import Recipe
from ft_assets.sources.rejected import REJECTED_SCHEMA
from ft_assets.storage.home import Home
from ft_assets_tests.curation.rows import words

_FILES = ("curated", "eval", "rejected", "train", "validation")

_KEYS = ["rows_in", "curated", "rejected", "clusters", "splits", "pii", "seconds", "peak_mb"]


def pairs(count: int, start: int = 0) -> list[dict[str, str]]:
    """Rows that have nothing in common."""
    return [
        {"prompt": words(1_000 * at, 9), "completion": f"{words(1_000 * at + 500, 9)}."}
        for at in range(start, start + count)
    ]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def curate(*arguments: object) -> Result:
    result = CliRunner().invoke(cli, ["curate", *map(str, arguments)])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, FtAssetsError):
        raise result.exception
    return result


def told(*arguments: object) -> dict[str, Any]:
    result = curate(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.output)


def test_files_of_every_container_become_one_folder(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(pairs(20)) + lines(pairs(1)) + b"{half\n\xff\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines(pairs(20, 100)))[:-12])
    (tmp_path / "c.csv").write_text("instruction,output\nWho is it?,It is Ann; ann@example.com.\nonly one\n")
    pq.write_table(pa.Table.from_pylist(pairs(20, 200)), tmp_path / "d.parquet")
    out = tmp_path / "deep" / "out"
    counts = told(*sorted(tmp_path.glob("?.*")), "--out", out)
    assert list(counts) == _KEYS
    assert counts["rows_in"] == counts["curated"] + sum(counts["rejected"].values())
    assert counts["rejected"] == {
        "damaged_file": 1, "exact_duplicate": 1, "not_json": 1, "not_utf8": 1, "wrong_columns": 1
    }  # fmt: skip
    assert counts["pii"] == {"EMAIL": 1}
    assert sorted(path.name for path in out.iterdir()) == ["card.md", *(f"{name}.parquet" for name in _FILES)]
    tables = {name: pq.read_table(out / f"{name}.parquet") for name in _FILES}
    assert tables["rejected"].schema.equals(REJECTED_SCHEMA)
    assert tables["rejected"].num_rows == sum(counts["rejected"].values())
    assert tables["curated"].num_rows == counts["curated"]
    assert len(set(tables["curated"]["cluster"].to_pylist())) == counts["clusters"]
    assert {side: tables[side].num_rows for side in counts["splits"]} == counts["splits"]
    assert Counter(tables["curated"]["side"].to_pylist()) == Counter(counts["splits"])
    assert "ann@" not in (out / "card.md").read_text() + str(tables["curated"].to_pylist())
    assert f"| eval | {counts['splits']['eval']} |" in (out / "card.md").read_text()


def test_the_same_files_give_the_same_bytes_and_leave_no_records(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(pairs(30)))
    for name in ("one", "two"):
        told(tmp_path / "a.jsonl", "--out", tmp_path / name)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()
    assert [path.name for path in Path(home.root).iterdir()] == ["instance.secret"]


def test_people_are_told_what_each_file_was_read_as(home: Home, tmp_path: Path) -> None:
    shared = {"instruction": words(0, 9), "output": words(50, 9)}
    (tmp_path / "a.jsonl").write_bytes(lines([*pairs(2, 5), shared]))
    result = curate(tmp_path / "a.jsonl", "--out", tmp_path / "out")
    assert "a.jsonl: 2 rows as prompt_completion, 1 rows as alpaca" in result.output.replace("\n", "")
    assert "3 of 3 rows kept" in result.output


def test_a_url_and_a_forced_format_are_understood(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines([*pairs(3), {"instruction": "Who?", "output": words(0, 9)}]))
    url = f"file://{tmp_path / 'a.jsonl'}"
    counts = told(url, "--format", "prompt_completion", "--out", tmp_path / "out")
    assert (counts["curated"], counts["rejected"]) == (3, {"other_shape": 1})


def test_a_recipe_in_a_file_sets_what_is_rejected(home: Home, recipe: Recipe, tmp_path: Path) -> None:
    body = recipe.model_dump(mode="json") | {"curation": {"allowed_licenses": ["MIT"]}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"attributes": body}))
    (tmp_path / "a.jsonl").write_bytes(lines([*pairs(3), pairs(1, 9)[0] | {"license": "GPL-3.0-only"}]))
    arguments = (tmp_path / "a.jsonl", "--license", "MIT", "--recipe", tmp_path / "recipe.yaml")
    assert told(*arguments, "--out", tmp_path / "out")["rejected"] == {"license_not_allowed": 1}


def test_a_limit_in_tokens_is_held_with_the_base_of_the_recipe(
    home: Home, recipe: Recipe, tmp_path: Path
) -> None:
    body = recipe.model_dump(mode="json") | {"curation": {"max_tokens": 200}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"attributes": body}))
    long = {"prompt": words(0, 90), "completion": words(5_000, 9)}
    (tmp_path / "a.jsonl").write_bytes(lines([{"prompt": "Who is it?", "completion": "It is Ann."}, long]))
    out = tmp_path / "out"
    counts = told(tmp_path / "a.jsonl", "--recipe", tmp_path / "recipe.yaml", "--out", out)
    assert counts["rejected"] == {"too_many_tokens": 1}
    assert "by length in tokens" in (out / "card.md").read_text()


def test_too_many_rejects_are_refused_after_the_evidence_is_written(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(pairs(1)) + b"no\n" * 19)
    result = curate(tmp_path / "a.jsonl", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "95.0% of the rows were rejected, more than `curation.max_reject_share` allows" in result.output
    assert pq.read_table(tmp_path / "out" / "rejected.parquet").num_rows == 19


def test_bytes_that_are_no_data_are_all_rejected(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(range(256)) * 40)
    result = curate(tmp_path / "a.bin", "--out", tmp_path / "out", "--json")
    counts = json.loads(result.output)
    assert (result.exit_code, counts["curated"]) == (1, 0)
    assert counts["rows_in"] == sum(counts["rejected"].values()) > 0
    assert counts["splits"] == {"train": 0, "validation": 0, "eval": 0}


@pytest.mark.parametrize(
    ("name", "words"), [("nothing.jsonl", "no such file"), ("empty.jsonl", "no rows"), (".", "directory")]
)
def test_wrong_input_leaves_nothing_behind(home: Home, tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "good.jsonl").write_bytes(lines(pairs(3)))
    (tmp_path / "empty.jsonl").touch()
    before = {*tmp_path.iterdir()}
    result = curate(tmp_path / "good.jsonl", tmp_path / name, "--out", tmp_path / "out")
    assert isinstance(result.exception, WrongInput)
    assert words in str(result.exception)
    assert {*tmp_path.iterdir()} - before <= {Path(home.root)}


def test_a_folder_that_exists_is_not_touched(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(pairs(3)))
    (tmp_path / "out").mkdir()
    result = curate(tmp_path / "a.jsonl", "--out", tmp_path / "out")
    assert isinstance(result.exception, WrongInput)
    assert [*(tmp_path / "out").iterdir()] == []


def test_a_folder_that_cannot_be_written_is_named(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(pairs(3)))
    result = curate(tmp_path / "a.jsonl", "--out", tmp_path / "a.jsonl" / "out")
    assert isinstance(result.exception, BrokenEnvironment)
    assert "a.jsonl/out" in str(result.exception)
