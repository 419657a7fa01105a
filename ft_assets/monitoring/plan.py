"""Which columns are compared, by which test, and how sure each must be before it counts as drift.

The usual p < 0.05 for every column of every report raises false alarms all the time. Here all columns of all
reports against one reference share one chance of a false alarm: look n spends 1 / (n (n + 1)) of it, which
adds up to 1 however often one looks, and a look's share is divided evenly among its columns (Bonferroni).
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import pyarrow as pa

from ft_assets.monitoring.samples import MIN_ROWS

ALPHA = 0.05
"""Chance of ever raising an alarm while nothing drifts, as long as the reference stays the same."""

METHODS = {
    "prompt": "domain_classifier",
    "prompt_chars": "ks",
    "answer_chars": "ks",
    "slice": "contingency",
}
"""Test of each column; `worker.py` says what they are."""


@dataclass(frozen=True)
class Test:
    """One column's test. A classifier's score above its threshold is drift; a p-value below it is."""

    method: str
    threshold: float


def plan_tests(reference: pa.Table, current: pa.Table, look: int) -> dict[str, Test]:
    """The test of every column that both sides have enough values of. `look` counts from 1."""
    columns = [name for name in METHODS if _comparable(reference[name], current[name])]
    level = ALPHA / (look * (look + 1)) / max(len(columns), 1)
    auc = critical_auc(reference.num_rows, current.num_rows, level)
    return {name: Test(METHODS[name], auc if name == "prompt" else level) for name in columns}


def critical_auc(reference_rows: int, current_rows: int, level: float) -> float:
    """ROC AUC that a classifier which has learned nothing exceeds with probability `level`.

    It is judged on half of the rows. The AUC is a Mann-Whitney statistic, normal with mean 1/2 and variance
    (n + m + 1) / (12 n m) under the null hypothesis (Mann and Whitney, 1947).
    """
    held_out = max(reference_rows / 2, 1), max(current_rows / 2, 1)
    variance = (sum(held_out) + 1) / (12 * math.prod(held_out))
    return min(0.5 + NormalDist().inv_cdf(1 - level) * math.sqrt(variance), 1.0)


def _comparable(reference: pa.ChunkedArray, current: pa.ChunkedArray) -> bool:
    enough = all(len(side) - side.null_count >= MIN_ROWS for side in (reference, current))
    values = pa.chunked_array([*reference.chunks, *current.chunks], reference.type).unique()
    return enough and len(values.drop_null()) > 1
