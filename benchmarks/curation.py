"""Near-duplicates, contamination and the whole of curation, beside the libraries that people use for them.

Rows are generated (`curation_rows`). Every arm gets the same texts in memory, has one core and one thread, and runs in
turn with the others; medians of processor time are told. Memory is that of a process that does nothing else, less what
holding the texts takes. `FT_ASSETS_BENCH_ROWS` names the sizes (default `10000,100000`; a million takes minutes).
Needs Linux.
"""

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from itertools import chain, product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.curation_arms import THRESHOLD, Found, make_arms
from benchmarks.curation_rows import as_example, chat, make_rows, similar_by_brute_force

_SIZES = "10000,100000"
_RUNS = 3
_JUDGED = 5_000
_PRIVATE = 20
"""One row in this many holds personal data."""
_MOST_ROWS = {
    "rensa_inline": 100_000,
    "rensa_batch": 100_000,
    "rensa_lsh": 100_000,
    "rensa_verified": 100_000,
    "datasketch_verified": 10_000,
}
"""Arms that are slow, or hold very much, get this many of the rows at most."""


def measure() -> dict:
    """`{"sizes": [{"rows", "ours", "peers", "ratio", "bound_ratio"}], "exponent", "contamination", "curate"}`.

    Of an arm `{"rows_per_s", "peak_mb", "recall", "precision", "judged_by"}`; `rows` where it got fewer. `ratio` is how
    many times as many rows a second ours does, `bound_ratio` how many times as many the bound does. `exponent` is that
    of time against rows between the smallest and the largest size, `n_log_n` what it would be for n log n.
    """
    _one_core()
    sizes = sorted(int(size) for size in os.environ.get("FT_ASSETS_BENCH_ROWS", _SIZES).split(","))
    with tempfile.TemporaryDirectory() as folder:
        quality = _quality(Path(folder))
        measured = [measure_size(size, quality, Path(folder)) for size in sizes]
    return {
        "sizes": measured,
        **_exponent(measured),
        "contamination": contamination(min(sizes[-1], 100_000)),
        "curate": curate_path(min(sizes[-1], 20_000)),
    }


def contamination(trained: int, judged: int = 1_000, planted: int = 100) -> dict[str, Any]:
    """Microseconds a trained row of a search for `judged` eval rows, and the share found of planted leaks.

    Half of the planted eval rows are trained on as they are, half are embedded in the prompt of a longer row.
    """
    from ft_assets.sources.example import to_table
    from ft_assets.splitting.contamination import search

    texts = list(dict.fromkeys(make_rows(2 * (trained + judged)).texts))
    held_out, others = texts[:judged], texts[judged : judged + trained - planted]
    half = planted // 2
    whole = [as_example(text) for text in held_out[:half]]
    embedded = [
        chat(f"{others[row]} {text}", others[-row]) for row, text in enumerate(held_out[half:planted])
    ]
    eval_rows = to_table(map(as_example, held_out))
    trained_rows = to_table([*map(as_example, others), *whole, *embedded])
    seconds, matches = [], []
    for _ in range(_RUNS):
        started = time.process_time()
        matches = search(eval_rows, trained_rows, THRESHOLD)
        seconds.append(time.process_time() - started)
    ids, dirty = eval_rows["id"].to_pylist(), {match.eval_id for match in matches}
    return {
        "eval_rows": judged,
        "trained_rows": trained_rows.num_rows,
        "us_per_trained_row": _round(1e6 * statistics.median(seconds) / trained_rows.num_rows),
        "found": {"whole": _share(ids[:half], dirty), "embedded": _share(ids[half:planted], dirty)},
    }


def curate_path(count: int) -> dict[str, Any]:
    """Rows a second of `curate` from a raw batch to its files, personal data in 5 % of the rows.

    `screen_loses`: of those 5 %, how many come out otherwise where every recogniser is asked about every row.
    """
    from benchmarks.pii_set import labelled
    from ft_assets.curation.curate import curate
    from ft_assets.curation.redaction import Redactor
    from ft_assets.recipe_data import Curation
    from ft_assets.sources.batch_files import BatchFiles

    private = [each.text for each in labelled() if each.entities]
    examples = [
        as_example(text, "" if row % _PRIVATE else private[row // _PRIVATE % len(private)])
        for row, text in enumerate(make_rows(count).texts)
    ]
    with tempfile.TemporaryDirectory() as folder:
        raw, warm_up, out = (Path(folder) / name for name in ("raw", "warm_up", "out"))
        for each in (raw, warm_up, out):
            each.mkdir()
        BatchFiles(None).write([as_example("ann@example.com " * 9)], raw)
        curate(raw, warm_up, "bench", Curation())  # imports
        BatchFiles(None).write(examples, raw)
        started = time.process_time()
        summary = curate(raw, out, "bench", Curation())
        seconds = time.process_time() - started
    return {
        "rows": count,
        "rows_per_s": _round(count / seconds),
        "curated": summary.curated,
        "rejected": summary.rejected,
        "pii": sum(summary.pii.values()),
        "screen_loses": sum(
            Redactor().text(row.prompt) != Redactor(screened=False).text(row.prompt)
            for row in examples[::_PRIVATE]
        ),
    }


def measure_size(count: int, quality: dict[str, dict[str, Any]], folder: Path) -> dict[str, Any]:
    """One size, as `measure` tells it. `quality` is recall and precision by arm; `folder` gets the rows as Parquet."""
    texts = make_rows(count).texts
    path = _store(texts, folder)
    arms = make_arms(path)
    for arm in arms.values():
        arm(texts[:500])  # imports
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    given = {name: texts[: _MOST_ROWS.get(name, count)] for name in arms}
    for _, (name, arm) in product(range(_RUNS), arms.items()):
        seconds[name].append(_seconds(arm, given[name]))
    told = {
        name: {
            "rows_per_s": _round(len(given[name]) / statistics.median(seconds[name])),
            "peak_mb": _peak_mb(name, path, len(given[name])),
            **quality.get(name, {}),
            **({"rows": len(given[name])} if len(given[name]) < count else {}),
        }
        for name in arms
    }
    mine = told.pop("ours")
    bound = "duckdb_read_and_hash"
    return {
        "rows": count,
        "ours": mine,
        "peers": told,
        "ratio": {
            name: _round(mine["rows_per_s"] / told[name]["rows_per_s"]) for name in told if name != bound
        },
        "bound_ratio": _round(told[bound]["rows_per_s"] / mine["rows_per_s"]),
    }


def _quality(folder: Path) -> dict[str, dict[str, Any]]:
    """Recall and precision of every arm but the bound against brute force on about 5,000 rows."""
    texts = make_rows(10 * _JUDGED).sample(_JUDGED).texts
    pairs = set(similar_by_brute_force(texts, THRESHOLD))
    arms = make_arms(_store(texts, folder))
    return {name: judge(arm(texts), pairs) for name, arm in arms.items() if "duckdb" not in name}


def judge(found: Found, pairs: set[tuple[int, int]]) -> dict[str, Any]:
    """Recall and precision of what an arm found, by the kind of its answer.

    Args:
        pairs: (earlier, later) of all rows that are alike.
    """
    match found:
        case set():
            name, truth = "pairs", pairs
        case frozenset():
            name, truth = "rows with a copy", set(chain.from_iterable(pairs))
        case _:
            name, truth = "rows dropped", {later for _, later in pairs}
    right = len(truth.intersection(found))
    return {
        "recall": round(right / len(truth), 4),
        "precision": round(right / max(1, len(found)), 4),
        "judged_by": name,
    }


def _exponent(sizes: Sequence[dict[str, Any]]) -> dict[str, float]:
    if len(sizes) < 2:
        return {}
    small, large = sizes[0], sizes[-1]
    grown = math.log(large["rows"] / small["rows"])
    slower = math.log(small["ours"]["rows_per_s"] / large["ours"]["rows_per_s"])
    n_log_n = 1 + math.log(math.log(large["rows"]) / math.log(small["rows"])) / grown
    return {"exponent": round(1 + slower / grown, 3), "n_log_n": round(n_log_n, 3)}


def _store(texts: Sequence[str], folder: Path) -> Path:
    path = folder / f"{len(texts)}.parquet"
    pq.write_table(pa.table({"text": pa.array(texts)}), path)
    return path


def _seconds(arm: Callable[[Sequence[str]], Found], texts: Sequence[str]) -> float:
    started = time.process_time()
    arm(texts)
    return time.process_time() - started


def _round(value: float) -> float:
    return round(value, 1) if value < 1_000 else round(value)


def _share(ids: Sequence[str], found: set[str]) -> float:
    return sum(id in found for id in ids) / len(ids)


def _one_core() -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = "1"


def _peak_mb(arm: str, path: Path, count: int) -> float:
    """Megabytes that a process holds at most in running the arm, beyond what holding the texts takes."""
    return _round(_process_mb(arm, path, count) - _process_mb("nothing", path, count))


@cache
def _process_mb(arm: str, path: Path, count: int) -> float:
    command = [sys.executable, "-m", "benchmarks.curation", str(path), str(count), arm]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _main() -> None:
    path, count, name = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    _one_core()
    texts = pq.read_table(path)["text"].slice(0, count).to_pylist()
    if arm := make_arms(path).get(name):
        arm(texts)
    # Not getrusage: it counts what the parent held when it started this process.
    status = Path("/proc/self/status").read_text().splitlines()
    print(next(int(line.split()[1]) / 2**10 for line in status if line.startswith("VmHWM")))


if __name__ == "__main__":
    _main()
