"""The chance of a false alarm is shared out, and never adds up to more than it should."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.monitoring.plan import ALPHA, METHODS, critical_auc, plan_tests

COUNTS = st.integers(2, 10_000)
LEVELS = st.floats(1e-9, 0.4)


def table(rows: int, **columns: list) -> pa.Table:
    numbers = [float(number) for number in range(rows)]
    defaults = {
        "prompt": [f"prompt {number}" for number in range(rows)],
        "prompt_chars": numbers,
        "answer_chars": numbers,
        "slice": [f"slice {number % 3}" for number in range(rows)],
    }
    return pa.table({**defaults, **columns})


@given(COUNTS, COUNTS, LEVELS, LEVELS)
def test_surer_means_a_higher_auc(reference: int, current: int, one: float, other: float) -> None:
    low, high = sorted([one, other])
    assert 0.5 <= critical_auc(reference, current, high) <= critical_auc(reference, current, low) <= 1.0


def test_critical_auc_is_exceeded_by_chance_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    n, m, level = 60, 40, 0.05
    ranks = np.argsort(np.argsort(random.random((4_000, n + m)))) + 1
    auc = (ranks[:, :m].sum(axis=1) - m * (m + 1) / 2) / (n * m)
    assert abs((auc > critical_auc(2 * n, 2 * m, level)).mean() - level) < 0.012


def test_all_looks_together_spend_no_more_than_alpha() -> None:
    side = table(40)
    spent = [len(METHODS) * plan_tests(side, side, look)["slice"].threshold for look in range(1, 500)]
    assert ALPHA * 0.99 < sum(spent) <= ALPHA
    assert spent == sorted(spent, reverse=True)


def test_columns_with_too_few_values_or_only_one_are_left_out() -> None:
    few = table(40, answer_chars=[1.0] * 29 + [None] * 11, slice=["default"] * 40)
    assert list(plan_tests(table(40, slice=["default"] * 40), few, 1)) == ["prompt", "prompt_chars"]
