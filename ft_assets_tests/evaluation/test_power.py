"""What a gate can find is said before it judges, and is what is then found."""

from math import inf

import numpy as np
import pytest
from scipy import stats

from ft_assets.evaluation.comparison import Results
from ft_assets.evaluation.gate import decide
from ft_assets.evaluation.past import Past
from ft_assets.evaluation.power import Scatter, detectable_gain, power_at, power_of, scatter_of
from ft_assets.recipe_evaluation import Gate
from ft_assets_tests.evaluation.crafted import MEASURED, results

GATE = Gate()
LOSS, _, EXACT = MEASURED
ARMS = {"base": {"loss": 3.0}, "candidate": {"loss": 2.9}}


@pytest.mark.parametrize("clusters", [10, 30, 200])
def test_power_is_that_of_a_t_test(clusters: int) -> None:
    for effect in (0.0, 0.1, 0.3, 0.6):
        bar = stats.t.ppf(0.975, clusters - 1)
        expected = stats.nct.sf(bar, clusters - 1, max(effect * clusters**0.5, 1e-9))
        assert power_at(effect, Scatter("loss", 1.0), 99, clusters, GATE) == pytest.approx(
            expected, abs=0.012
        )


def test_the_least_gain_has_the_power_that_is_said_and_falls_with_rows() -> None:
    gains = []
    for scatter in (Scatter("loss", 0.4), Scatter("exact", 0.4, changed=0.2)):
        for clusters in (50, 200):
            gains.append(detectable_gain(scatter, clusters, clusters, GATE))
            assert power_at(gains[-1], scatter, clusters, clusters, GATE) == pytest.approx(0.8, abs=0.01)
    assert gains[1] < 0.6 * gains[0]
    assert gains[3] < 0.6 * gains[2]
    bar = Gate(min_gain=0.5)
    assert detectable_gain(Scatter("loss", 0.4), 50, 50, bar) == pytest.approx(0.5 + gains[0], abs=1e-3)


def test_what_cannot_be_found_is_not_promised() -> None:
    assert detectable_gain(Scatter("exact", 0.1, changed=0.02), 50, 50, GATE) == inf
    assert detectable_gain(Scatter("loss", inf), 5, 1, GATE) == inf
    power = power_of(Results(results(ARMS, clusters=1)), LOSS, GATE, None)
    assert power is not None
    assert "too few to say" in power.sentence(LOSS)


def test_scatter_of_independent_rows_is_their_standard_deviation() -> None:
    values = np.random.default_rng(0).standard_normal(50)
    alone = scatter_of(LOSS, values, np.arange(50))
    assert alone.deviation == pytest.approx(values.std(ddof=1))
    copied = scatter_of(LOSS, np.repeat(values, 3), np.repeat(np.arange(50), 3))
    assert copied.deviation == pytest.approx(alone.deviation)
    assert scatter_of(EXACT, (values > 1).astype(float), np.arange(50)).changed == pytest.approx(
        (values > 1).mean()
    )


def test_the_scatter_of_the_report_before_is_used_where_it_is_known() -> None:
    here = decide(results(ARMS, noise=0.2), MEASURED, GATE, [], 30, False)
    before = Past(scatter=Scatter("loss", 0.9))
    known = decide(results(ARMS, noise=0.2), MEASURED, GATE, [], 30, False, past=before)
    assert here.power is not None and known.power is not None
    assert known.power.gain > 2 * here.power.gain
    assert known.power.here == here.power.scatter
    assert "as measured here" in here.power_sentence
    assert "report before" in known.power_sentence
    assert f"{known.power.gain:.3g} nats a token" in known.power_sentence


def test_no_power_is_said_of_a_metric_that_is_not_a_number() -> None:
    broken = {"base": {"loss": 3.0}, "candidate": {"loss": [float("nan")] * 30}}
    verdict = decide(results(broken), MEASURED, GATE, [], 30, False)
    assert verdict.power is None
    assert "not known" in verdict.power_sentence
