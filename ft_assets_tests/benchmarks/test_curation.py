"""The curation benchmark at a tiny size: what it counts, and the form in which it says so."""

import json
from pathlib import Path

import pytest

from benchmarks.curation import contamination, curate_path, judge, measure_size
from benchmarks.curation_arms import Found, duckdb_read_and_hash, make_arms
from benchmarks.curation_rows import make_rows, similar_by_brute_force

_ARM = {"rows_per_s", "peak_mb", "recall", "precision"}
_PAIRS = {(0, 2), (0, 5), (2, 5), (1, 3)}


@pytest.mark.parametrize(
    ("found", "recall", "precision", "judged_by"),
    [
        ({(0, 2), (1, 3), (1, 4)}, 0.5, 0.6667, "pairs"),
        ([2, 3, 5], 1.0, 1.0, "rows dropped"),
        ([0, 2], 0.3333, 0.5, "rows dropped"),
        (frozenset({0, 1, 2, 3, 5}), 1.0, 1.0, "rows with a copy"),
        (frozenset({0, 4}), 0.2, 0.5, "rows with a copy"),
        ([], 0.0, 0.0, "rows dropped"),
    ],
)
def test_answers_are_judged_by_their_kind(
    found: Found, recall: float, precision: float, judged_by: str
) -> None:
    assert judge(found, _PAIRS) == {"recall": recall, "precision": precision, "judged_by": judged_by}


def test_ours_is_what_brute_force_finds_and_peers_come_near(tmp_path: Path) -> None:
    pytest.importorskip("datasketch")
    texts = make_rows(3_000).sample(600).texts
    pairs = set(similar_by_brute_force(texts, 0.5))
    found = {name: arm(texts) for name, arm in make_arms(tmp_path).items() if name != "duckdb_read_and_hash"}
    assert found["ours"] == pairs
    recalls = {name: judge(answer, pairs)["recall"] for name, answer in found.items()}
    assert min(recalls.values()) > 0.8, recalls
    verified = [judge(found[name], pairs)["precision"] for name in ("rensa_verified", "datasketch_verified")]
    assert verified == [1.0, 1.0]


def test_bound_counts_exact_copies(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a", "b", "a", "a"]}), tmp_path / "rows.parquet")
    assert len(duckdb_read_and_hash(tmp_path / "rows.parquet")) == 2


@pytest.mark.slow
def test_a_size_is_told_in_the_form_that_the_issue_asks_for(tmp_path: Path) -> None:
    pytest.importorskip("datasketch")
    arms = set(make_arms(tmp_path))
    quality = {name: {"recall": 1.0, "precision": 1.0} for name in arms - {"duckdb_read_and_hash"}}
    told = json.loads(json.dumps(measure_size(300, quality, tmp_path)))
    assert set(told) == {"rows", "ours", "peers", "ratio", "bound_ratio"}
    assert told["rows"] == 300 and set(told["ours"]) == _ARM
    assert set(told["peers"]) == arms - {"ours"}
    assert set(told["ratio"]) == arms - {"ours", "duckdb_read_and_hash"}
    assert all(set(arm) == _ARM for name, arm in told["peers"].items() if name in told["ratio"])


def test_planted_leaks_are_found_and_timed() -> None:
    told = contamination(trained=400, judged=60, planted=20)
    assert told["found"] == {"whole": 1.0, "embedded": 1.0}
    assert (told["eval_rows"], told["trained_rows"]) == (60, 400)
    assert told["us_per_trained_row"] > 0


def test_whole_path_accounts_for_every_row_and_redacts_as_every_recogniser_would() -> None:
    told = curate_path(200)
    assert told["curated"] + sum(told["rejected"].values()) == told["rows"] == 200
    assert told["pii"] >= 10
    assert told["screen_loses"] == 0
