"""Evidence of a gain keeps its stated rate from 20 rows on, whatever the scores are."""

import numpy as np
import pytest

from ft_assets.evaluation.paired import weigh
from ft_assets.recipe_evaluation import Gate

GATE = Gate(resamples=1_000)
LEVEL = 0.025


def rate(draw, bound: float, rows: int, trials: int, share: bool, yes_no: bool, clusters=None) -> float:
    """How often a gain that is the bound exactly is taken for one above it."""
    random = np.random.default_rng(rows)
    members = np.arange(rows) if clusters is None else clusters
    hits = 0
    for _ in range(trials):
        found = weigh(draw(random), members, bound, GATE, share, yes_no)
        hits += found.above <= LEVEL and found.interval.low > bound
    return hits / trials


@pytest.mark.parametrize("rows", [20, 64])
@pytest.mark.parametrize("lost", [0.05, 0.1])
def test_a_yes_no_score_that_loses_the_margin_passes_no_more_often_than_stated(
    rows: int, lost: float
) -> None:
    """Where losses alone happen a bootstrap sees none of them in many tables, and passes those all."""

    def draw(random: np.random.Generator) -> np.ndarray:
        return -(random.random(rows) < lost).astype(float)

    assert rate(draw, -lost, rows, 3_000, share=True, yes_no=True) <= LEVEL + 0.0086


def test_a_clustered_yes_no_score_that_loses_the_margin_passes_no_more_often_than_stated() -> None:
    clusters = np.repeat(np.arange(30), [1, 1, 2] * 10)

    def draw(random: np.random.Generator) -> np.ndarray:
        return -(random.random(30) < 0.05).astype(float)[clusters]

    assert rate(draw, -0.05, 40, 1_500, share=True, yes_no=True, clusters=clusters) <= LEVEL


def test_rare_large_losses_of_a_score_that_mostly_ties_are_not_overlooked() -> None:
    """Six rows of a hundred lose fifty points: of 64 rows, one or two are seen, which a bootstrap takes for less."""

    def draw(random: np.random.Generator) -> np.ndarray:
        return -50.0 * (random.random(64) < 0.06)

    assert rate(draw, -3.0, 64, 1_500, share=False, yes_no=False) <= LEVEL + 0.012


@pytest.mark.parametrize("rows", [20, 60])
def test_heavy_tails_pass_no_more_often_than_stated(rows: int) -> None:
    def draw(random: np.random.Generator) -> np.ndarray:
        return random.standard_t(3, size=rows)

    assert rate(draw, 0.0, rows, 3_000, share=False, yes_no=False) <= LEVEL + 0.0086


def test_half_points_are_weighed_as_carefully_as_whole_ones() -> None:
    gains = np.array([0.5] * 6 + [-0.5] * 2 + [0.0] * 40)
    halves = weigh(gains, np.arange(48), -0.05, GATE, share=True, yes_no=False)
    wholes = weigh(np.sign(gains), np.arange(48), -0.05, GATE, share=True, yes_no=True)
    assert halves.interval.mean == pytest.approx(wholes.interval.mean / 2)
    unbounded = weigh(gains, np.arange(48), -0.05, GATE, share=False, yes_no=False)
    assert wholes.interval.low / 2 > halves.interval.low < unbounded.interval.low
    assert halves.above > unbounded.above


def test_rows_of_one_cluster_are_no_independent_yes_no_rows() -> None:
    gains = np.array([1.0] * 12 + [0.0] * 28)
    alone = weigh(gains, np.arange(40), 0.0, GATE, share=True, yes_no=True)
    together = weigh(gains, np.repeat(np.arange(10), 4), 0.0, GATE, share=True, yes_no=True)
    assert alone.above < 0.001 < 0.05 < together.above
    assert together.interval.low < alone.interval.low
