"""Flipped signs: equal to every pattern where those can be tried, and true to the stated rate where not."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from ft_assets.evaluation.sign_flip import sign_flip

LEVEL = 0.025


@pytest.mark.parametrize("count", [1, 2, 7, 12])
def test_every_pattern_is_tried_where_clusters_are_few(count: int) -> None:
    sums = np.random.default_rng(count).standard_normal(count)
    totals = np.array([np.dot(signs, sums) for signs in product([1, -1], repeat=count)])
    above, below = sign_flip(sums, 100)
    assert above == (totals >= sums.sum() - 1e-9).mean()
    assert below == (totals <= sums.sum() + 1e-9).mean()


def test_it_agrees_with_scipy_where_clusters_are_many() -> None:
    sums = np.random.default_rng(1).standard_t(3, size=60) + 0.25
    theirs = stats.permutation_test(
        (sums,), np.sum, permutation_type="samples", alternative="greater", n_resamples=50_000, rng=0
    )
    assert sign_flip(sums, 8_000)[0] == pytest.approx(theirs.pvalue, abs=0.006)


@pytest.mark.parametrize(
    ("draw", "count"),
    [("normal", 20), ("heavy tails", 20), ("heavy tails", 100), ("ties", 50), ("unequal", 20)],
)
def test_a_mean_of_zero_is_found_above_it_no_more_often_than_stated(draw: str, count: int) -> None:
    random = np.random.default_rng(count)
    samples = {
        "normal": lambda: random.standard_normal(count),
        "heavy tails": lambda: random.standard_t(2, size=count),
        "ties": lambda: random.choice([-1.0, 0.0, 1.0], p=[0.1, 0.8, 0.1], size=count),
        "unequal": lambda: random.standard_normal(count) * np.arange(1, count + 1),
    }[draw]
    hits = sum(sign_flip(samples(), 2_000)[0] <= LEVEL for _ in range(4_000))
    # Three standard errors of 2.5 % in 6,000 trials.
    assert hits / 4_000 <= LEVEL + 3 * (LEVEL * (1 - LEVEL) / 4_000) ** 0.5
    assert hits / 4_000 >= 0.005


def test_no_difference_at_all_shows_nothing_and_the_same_seed_gives_the_same() -> None:
    assert sign_flip(np.zeros(30), 2_000) == (1.0, 1.0)
    sums = np.random.default_rng(2).standard_normal(5_000)
    assert sign_flip(sums, 2_000, seed=3) == sign_flip(sums, 2_000, seed=3)
    assert sign_flip(sums, 2_000, seed=3) != sign_flip(sums, 2_000, seed=4)


def test_both_directions_mirror_each_other() -> None:
    sums = np.random.default_rng(4).standard_normal(40)
    assert sign_flip(sums, 2_000) == sign_flip(-sums, 2_000)[::-1]
