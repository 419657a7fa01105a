"""Near-duplicates, contamination and the whole of curation, beside the libraries that people use for them.

Rows are generated (`curation_rows`). Every arm gets the same texts in memory, has one core and one thread, and runs in
turn with the others; medians are told. Memory is that of a process that does nothing else, less what holding the texts
takes. `FT_ASSETS_BENCH_ROWS` names the sizes (default `10000,100000`; a million takes minutes and four gigabytes).
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.curation_rows import Rows, make_rows, similar_by_brute_force, word_grams

_THRESHOLD = 0.5
_RUNS = 3
_JUDGED = 5_000
_SIZES = "10000,100000"
_SLOW_ROWS = 100_000
"""Peers that are much slower are left out beyond this many rows."""

Found = set[tuple[int, int]] | int
"""Pairs (earlier, later), or only how many rows have one, where an arm does not tell which."""


def measure() -> dict:
    """By size `{"rows", "ours": {"rows_per_s", "peak_mb", "recall", "precision"}, "peers", "ratio", "bound_ratio"}`."""
    _one_core()
    sizes = [int(size) for size in os.environ.get("FT_ASSETS_BENCH_ROWS", _SIZES).split(",")]
    quality = _quality()
    by_size = [_measure_size(size, quality) for size in sizes]
    return {
        "near_duplicates": by_size,
        "exponent": _exponent(by_size),
        "contamination": contamination(min(max(sizes), 100_000)),
        "curate": curate_path(20_000),
    }


def ours(texts: Sequence[str]) -> Found:
    from ft_assets.curation.near_duplicates import gram_sets, similar_pairs

    pairs = similar_pairs(gram_sets(texts), None, _THRESHOLD)
    return set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))


def rensa_inline(texts: Sequence[str]) -> Found:
    """Each row is looked up before it goes into the index; what the index proposes counts."""
    from rensa import RMinHash, RMinHashLSH  # pyright: ignore[reportAttributeAccessIssue]

    index, found = RMinHashLSH(_THRESHOLD, 128, 32), set()
    for row, text in enumerate(texts):
        sketch = RMinHash(128, 42)
        sketch.update(_tokens(text))
        found.update((earlier, row) for earlier in index.query(sketch))
        index.insert(row, sketch)
    return found


def rensa_verified(texts: Sequence[str]) -> Found:
    return _verified(texts, rensa_inline(texts))


def datasketch_verified(texts: Sequence[str]) -> Found:
    from datasketch import MinHash, MinHashLSH

    index, found = MinHashLSH(_THRESHOLD, 128), set()
    sketches = MinHash.generator(
        [[token.encode() for token in _tokens(text)] for text in texts], num_perm=128
    )
    for row, sketch in enumerate(sketches):
        found.update((int(earlier), row) for earlier in index.query(sketch))
        index.insert(row, sketch)
    return _verified(texts, found)


def duckdb_hash(texts: Sequence[str]) -> Found:
    """The bound: reading the rows from Parquet and hashing each text, which finds exact copies only."""
    import duckdb

    connection = duckdb.connect(config={"threads": 1})
    query = f"SELECT count(*) - count(DISTINCT hash(text)) FROM read_parquet('{_parquet(texts)}')"
    return connection.execute(query).fetchall()[0][0]


ARMS: dict[str, Callable[[Sequence[str]], Found]] = {
    "ours": ours,
    "rensa_inline": rensa_inline,
    "rensa_verified": rensa_verified,
    "datasketch_verified": datasketch_verified,
    "duckdb_read_and_hash": duckdb_hash,
}
_SLOW = ("rensa_inline", "rensa_verified", "datasketch_verified")


def contamination(trained: int, judged: int = 1_000) -> dict[str, Any]:
    """Microseconds a trained row that the search for `judged` eval rows takes, and the share of planted leaks it finds."""
    from ft_assets.sources.example import Example, Message, to_table
    from ft_assets.splitting.contamination import search

    def example(prompt: str, answer: str) -> Example:
        turns = (Message(role="user", content=prompt), Message(role="assistant", content=answer))
        return Example(messages=turns, source="bench", license="CC0-1.0")

    def halves(text: str) -> tuple[str, str]:
        words = text.split()
        return " ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])

    rows = Rows([*dict.fromkeys(make_rows(trained + judged).texts)], make_rows(2).origins)
    held_out, others = rows.texts[:judged], rows.texts[judged:]
    whole = [example(*halves(text)) for text in held_out[:50]]
    embedded = [
        example(f"{one} {text}", "Yes, that is right.")
        for one, text in zip(others, held_out[50:100], strict=False)
    ]
    tables = (
        to_table(example(*halves(text)) for text in held_out),
        to_table([*(example(*halves(text)) for text in others), *whole, *embedded]),
    )
    started = time.process_time()
    matches = search(*tables, _THRESHOLD)
    seconds = time.process_time() - started
    ids = tables[0]["id"].to_pylist()
    dirty = {match.eval_id for match in matches}
    return {
        "eval_rows": judged,
        "trained_rows": tables[1].num_rows,
        "us_per_trained_row": 1e6 * seconds / tables[1].num_rows,
        "found": {"whole": _share(ids[:50], dirty), "embedded": _share(ids[50:100], dirty)},
    }


def curate_path(count: int) -> dict[str, Any]:
    """Rows a second of `curate` from a raw batch to its files, personal data in 5 % of the rows."""
    from benchmarks.pii_set import labelled
    from ft_assets.curation.curate import curate
    from ft_assets.recipe_data import Curation
    from ft_assets.sources.batch_files import BatchFiles
    from ft_assets.sources.example import Example, Message

    private = [item.text for item in labelled() if item.spans]
    examples = []
    for row, text in enumerate(make_rows(count).texts):
        words = text.split()
        asked = " ".join(words[: len(words) // 2]) + (
            f" {private[row % len(private)]}" if row % 20 == 0 else ""
        )
        turns = (
            Message(role="user", content=asked),
            Message(role="assistant", content=" ".join(words[len(words) // 2 :])),
        )
        examples.append(Example(messages=turns, source="bench", line=row + 1, license="CC0-1.0"))
    with tempfile.TemporaryDirectory() as folder:
        raw, out = Path(folder) / "raw", Path(folder) / "out"
        raw.mkdir()
        out.mkdir()
        BatchFiles(None).write(examples, raw)
        started = time.process_time()
        summary = curate(raw, out, "bench", Curation())
        seconds = time.process_time() - started
    return {
        "rows": count,
        "rows_per_s": count / seconds,
        "curated": summary.curated,
        "pii": sum(summary.pii.values()),
    }


def _measure_size(count: int, quality: dict[str, dict[str, float]]) -> dict[str, Any]:
    texts = make_rows(count).texts
    arms = {name: arm for name, arm in ARMS.items() if name not in _SLOW or count <= _SLOW_ROWS}
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    arms["ours"](texts[:1_000])  # imports
    _parquet(texts)
    for _ in range(_RUNS):
        for name, arm in arms.items():
            started = time.process_time()
            arm(texts)
            seconds[name].append(time.process_time() - started)
    held = _peak_mb("nothing", count)
    told = {
        name: {
            "rows_per_s": count / statistics.median(seconds[name]),
            "peak_mb": _peak_mb(name, count) - held,
            **quality.get(name, {}),
        }
        for name in arms
    }
    mine = told.pop("ours")
    ratio = {name: mine["rows_per_s"] / peer["rows_per_s"] for name, peer in told.items()}
    return {
        "rows": count,
        "ours": mine,
        "peers": told,
        "ratio": ratio,
        "bound_ratio": 1 / ratio["duckdb_read_and_hash"],
    }


def _quality() -> dict[str, dict[str, float]]:
    """Recall and precision of every arm that tells pairs, against brute force on 5,000 rows."""
    texts = make_rows(50_000).sample(_JUDGED).texts
    truth = similar_by_brute_force(texts, _THRESHOLD).keys()
    told = {}
    for name, arm in ARMS.items():
        found = arm(texts)
        if isinstance(found, set):
            right = len(found & truth)
            told[name] = {
                "recall": right / len(truth),
                "precision": right / max(1, len(found)),
                "pairs": len(truth),
            }
    return told


def _exponent(sizes: Sequence[dict[str, Any]]) -> float | None:
    """Of time against n log n between the smallest and the largest size: 1 is as fast as sorting grows."""
    if len(sizes) < 2:
        return None
    small, large = min(sizes, key=lambda one: one["rows"]), max(sizes, key=lambda one: one["rows"])
    times = [one["rows"] / one["ours"]["rows_per_s"] for one in (small, large)]
    work = [one["rows"] * math.log(one["rows"]) for one in (small, large)]
    return math.log(times[1] / times[0]) / math.log(work[1] / work[0])


def _tokens(text: str) -> list[str]:
    words = text.split()
    return [f"{a} {b} {c}" for a, b, c in zip(words, words[1:], words[2:], strict=False)]


def _verified(texts: Sequence[str], proposed: Found) -> Found:
    assert isinstance(proposed, set)
    grams = [word_grams(text) for text in texts]
    return {(i, j) for i, j in proposed if _jaccard(grams[i], grams[j]) >= _THRESHOLD}


def _jaccard(one: set[str], other: set[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)


def _share(ids: Sequence[str], found: set[str]) -> float:
    return sum(id in found for id in ids) / len(ids)


def _parquet(texts: Sequence[str]) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(tempfile.gettempdir()) / f"ft_assets_bench_{len(texts)}.parquet"
    if not path.exists():
        pq.write_table(pa.table({"text": pa.array(texts)}), path)
    return str(path)


def _one_core() -> None:
    import pyarrow as pa

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)


def _peak_mb(arm: str, count: int) -> float:
    command = [sys.executable, "-m", "benchmarks.curation", arm, str(count)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _main() -> None:
    """Run one arm alone, and print the most memory that this process held, in megabytes."""
    import resource

    _one_core()
    texts = make_rows(int(sys.argv[2])).texts
    if sys.argv[1] in ARMS:
        ARMS[sys.argv[1]](texts)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10)


if __name__ == "__main__":
    _main()
