"""Paired yes/no scores against published values, scipy and exact enumeration."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar as theirs

from ft_assets.evaluation.mcnemar import mcnemar, mcnemar_power
from ft_assets.evaluation.proportions import exact_p, score_interval, score_p

counts = st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(1, 40))


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (5, 0), (9, 2), (3, 3), (1, 8), (60, 40)])
def test_mcnemar_is_the_binomial_test_of_the_changed_rows(wins: int, losses: int) -> None:
    if wins + losses:
        expected = stats.binomtest(wins, wins + losses, alternative="greater").pvalue
        assert mcnemar(wins, losses) == pytest.approx(expected)
        both = min(1.0, 2 * min(mcnemar(wins, losses), mcnemar(losses, wins)))
        assert both == pytest.approx(theirs([[0, wins], [losses, 0]], exact=True).pvalue)
    else:
        assert mcnemar(0, 0) == 1.0


@settings(max_examples=60)
@given(counts)
def test_the_ends_of_the_score_interval_are_where_the_restricted_likelihood_says(given_counts: tuple) -> None:
    """The variance is taken at the maximum-likelihood shares whose difference is the claim, found numerically."""
    wins, losses, same = given_counts
    rows = wins + losses + same
    low, high = score_interval(wins, losses, rows, 0.95)
    assert low <= (wins - losses) / rows <= high
    for end in (low, high):
        if abs(end) < 0.999:
            lost = _most_likely_loss(wins, losses, rows, end)
            z = (wins - losses - rows * end) / (rows * (2 * lost + end - end * end)) ** 0.5
            assert abs(z) == pytest.approx(1.95996, abs=2e-3)


def _most_likely_loss(wins: int, losses: int, rows: int, gain: float) -> float:
    def minus_log(lost: float) -> float:
        shares = np.array([lost + gain, lost, 1 - 2 * lost - gain])
        seen = np.array([wins, losses, rows - wins - losses])
        return -float((seen * np.log(np.maximum(shares, 1e-300))).sum())

    least, most = max(0.0, -gain), (1 - gain) / 2
    return optimize.minimize_scalar(
        minus_log, bounds=(least, most), method="bounded", options={"xatol": 1e-10}
    ).x


def test_the_score_interval_of_a_published_example() -> None:
    """Airway reactivity of 21 children, 1 better and 7 worse (Fagerland et al., BMC Med. Res. Methodol. 14, 2014)."""
    assert score_interval(1, 7, 21, 0.95) == pytest.approx((-0.517, -0.026), abs=6e-4)


def test_rows_that_never_changed_still_leave_room_for_a_loss() -> None:
    assert score_interval(0, 0, 64, 0.95) == pytest.approx((-0.0566, 0.0566), abs=1e-4)
    # None of 64 rows is lost with a chance of 0.95 ** 64 where each is with one of 5 %.
    assert 0.95**64 <= exact_p(0, 0, 64, -0.05) <= 0.95**64 + 0.001


@pytest.mark.parametrize("rows", [20, 50])
@pytest.mark.parametrize("bound", [-0.1, -0.05, 0.05])
def test_the_exact_test_keeps_its_level_where_the_score_test_does_not(rows: int, bound: float) -> None:
    worst = {"exact": 0.0, "score": 0.0}
    for lost in np.linspace(max(0.0, -bound) + 1e-4, (1 - bound) / 2 - 1e-4, 60):
        for name, test in (("exact", exact_p), ("score", score_p)):
            worst[name] = max(worst[name], _chance_to_reject(test, rows, bound, lost))
    assert worst["exact"] <= 0.025 + 1e-4
    assert worst["exact"] <= worst["score"] + 1e-9
    if (rows, bound) == (20, -0.05):
        assert worst["score"] > 0.03


def _chance_to_reject(test, rows: int, bound: float, lost: float) -> float:
    shares = (lost + bound, lost)
    total = 0.0
    for wins in range(rows + 1):
        for losses in range(rows - wins + 1):
            if test(wins, losses, rows, bound) <= 0.025:
                ways = comb(rows, wins) * comb(rows - wins, losses)
                rest = 1 - sum(shares)
                total += ways * shares[0] ** wins * shares[1] ** losses * rest ** (rows - wins - losses)
    return total


def test_many_rows_are_left_to_the_score_test_and_impossible_bounds_are_no_question() -> None:
    assert exact_p(10, 20, 400, -0.06) == score_p(10, 20, 400, -0.06)
    assert exact_p(0, 5, 10, -1.0) == 0.0
    assert exact_p(5, 0, 10, 1.0) == 1.0


@pytest.mark.parametrize(("gain", "changed", "rows"), [(0.1, 0.2, 100), (0.086, 0.1, 100), (0.0, 0.3, 60)])
def test_the_power_of_mcnemar_is_what_is_counted(gain: float, changed: float, rows: int) -> None:
    random = np.random.default_rng(0)
    shares = [(changed + gain) / 2, (changed - gain) / 2, 1 - changed]
    tables = random.multinomial(rows, shares, size=8_000)
    counted = np.mean([mcnemar(int(wins), int(losses)) <= 0.025 for wins, losses, _ in tables])
    assert mcnemar_power(gain, changed, rows, 0.025) == pytest.approx(counted, abs=0.017)
    assert mcnemar_power(0.0, 0.0, rows, 0.025) == 0.0
