"""Intervals cover what they claim to, in simulations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.evaluation.statistics import bootstrap_mean, t_quantile

TRIALS = 1_000


def coverage(draw: str, rows: int, seed: int) -> float:
    """Share of 95 % intervals that cover the true mean, 0."""
    random = np.random.default_rng(seed)
    samples = {
        "normal": lambda: random.standard_normal(rows),
        "skewed": lambda: random.exponential(size=rows) - 1.0,
        "mostly ties": lambda: random.choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=rows),
    }[draw]
    hits = 0
    for trial in range(TRIALS):
        interval = bootstrap_mean(samples(), np.arange(rows), 0.95, 400, seed=trial)
        hits += interval.low <= 0.0 <= interval.high
    return hits / TRIALS


@pytest.mark.parametrize(
    ("draw", "rows", "least"),
    [("normal", 20, 0.93), ("normal", 50, 0.93), ("skewed", 50, 0.90), ("mostly ties", 50, 0.92)],
)
def test_intervals_cover_the_true_mean_about_as_often_as_they_say(draw: str, rows: int, least: float) -> None:
    assert least <= coverage(draw, rows, seed=rows) <= 0.98


def test_copies_of_a_row_are_no_more_evidence_than_the_row() -> None:
    values = np.random.default_rng(0).standard_normal(30)
    single = bootstrap_mean(values, np.arange(30), 0.95, 2_000)
    copied = bootstrap_mean(np.repeat(values, 10), np.repeat(np.arange(30), 10), 0.95, 2_000)
    naive = bootstrap_mean(np.repeat(values, 10), np.arange(300), 0.95, 2_000)
    assert (copied.low, copied.high) == pytest.approx((single.low, single.high))
    assert (copied.rows, copied.clusters) == (300, 30)
    assert naive.high - naive.low < 0.5 * (copied.high - copied.low)


def test_one_cluster_says_nothing() -> None:
    interval = bootstrap_mean([1.0, 2.0], ["a", "a"], 0.95, 100)
    assert (interval.low, interval.high) == (-np.inf, np.inf)


def test_no_values_and_broken_values_are_refused() -> None:
    for values in ([], [1.0, float("nan")], [1.0, float("inf")]):
        with pytest.raises(ValueError, match="finite"):
            bootstrap_mean(values, range(len(values)), 0.95, 100)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30), st.integers(0, 5))
def test_the_same_seed_gives_the_same_interval_around_the_mean(values: list[float], seed: int) -> None:
    clusters = [f"c{at}" for at in range(len(values))]
    interval = bootstrap_mean(values, clusters, 0.9, 200, seed)
    assert interval == bootstrap_mean(values, clusters, 0.9, 200, seed)
    assert min(values) - 1e-9 <= interval.low <= interval.high <= max(values) + 1e-9
    mirrored = interval.mirrored
    assert (mirrored.mean, mirrored.low, mirrored.high) == (-interval.mean, -interval.high, -interval.low)


def test_very_many_clusters_are_drawn_as_few_are() -> None:
    values = np.random.default_rng(0).standard_normal(600)
    interval = bootstrap_mean(values, np.arange(600), 0.95, 400)
    half = 1.96 * values.std() / 600**0.5
    assert interval.high - interval.mean == pytest.approx(half, rel=0.15)


@pytest.mark.parametrize(("freedom", "table"), [(4, 2.7764), (10, 2.2281), (19, 2.0930), (47, 2.0117)])
def test_t_quantiles_are_those_of_the_tables(freedom: int, table: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(table, abs=0.003)
