"""Each signal alone finds its harm, none is raised by an equal challenger, and a scale never looks ahead."""

from dataclasses import replace

import numpy as np
import pytest

from ft_assets.recipe_rollout import Guardrails
from ft_assets.recipe_rollout import Rollout as Plan
from ft_assets.rollout.evidence import Answers, Evidence
from ft_assets.rollout.matching import matching
from ft_assets.rollout.signals import FAILURE_SHARE, SIGNALS, matches
from ft_assets.rollout.simulated_traffic import CHAMPION, WORSE, stream
from ft_assets.rollout.weighing import doubtful, ended_at, failing_at, harm_at, weigh_signal

PLAN = Plan()
BY_NAME = {signal.name: signal for signal in SIGNALS}


def changed(evidence: Evidence, seed: int = 9, **shares: float) -> Evidence:
    """The challenger's answers with some columns drawn anew: true, or 1, with the given probability."""
    answers, random = evidence.answers, np.random.default_rng(seed)
    drawn = {}
    for name, share in shares.items():
        column = getattr(answers, name)
        values = (random.random(len(answers)) < share).astype(column.dtype)
        drawn[name] = np.where(answers.challenger, values, column)
    return Evidence(replace(answers, **drawn), evidence.pairs)


def harmed(seed: int, **shares: float) -> dict[str, float]:
    """Signals that are proven worse, and when, in one rollout whose arms are equal but for `shares`."""
    evidence = changed(stream(CHAMPION, np.random.default_rng(seed)), **shares)
    found = {name: harm_at(signal, evidence, PLAN) for name, signal in BY_NAME.items()}
    return {name: time for name, time in found.items() if time is not None}


def test_alpha_is_shared_out_and_no_more() -> None:
    assert sum(signal.share for signal in SIGNALS) + FAILURE_SHARE == pytest.approx(1)
    assert min(FAILURE_SHARE, *(signal.share for signal in SIGNALS)) > 0
    assert set(Guardrails.model_fields) == set(BY_NAME) - {"reward"}


@pytest.mark.parametrize(
    ("signal", "harm"),
    [
        ("reward", {"reward": 0.6}),
        ("approvals", {"thumb": 0.6}),
        ("edits", {"edit": 0.7}),
        ("escalations", {"escalated": 0.2}),
        ("refusals", {"refused": 0.2}),
        ("errors", {"failed": 0.2}),
        ("cancels", {"cancelled": 0.45}),
    ],
)
def test_each_signal_alone_catches_its_harm(signal: str, harm: dict[str, float]) -> None:
    for seed in range(8):
        assert list(harmed(seed, **harm)) == [signal]


@pytest.mark.parametrize("signal", ["latency", "cost"])
def test_slow_and_costly_answers_are_caught(signal: str) -> None:
    for seed in range(8):
        evidence = stream(WORSE[signal], np.random.default_rng(seed))
        found = {name: harm_at(one, evidence, PLAN) for name, one in BY_NAME.items()}
        assert [name for name, time in found.items() if time is not None] == [signal]


def test_equal_challenger_is_rolled_back_at_most_alpha_of_the_time() -> None:
    rng = np.random.default_rng(11)
    ended = [ended_at(stream(CHAMPION, rng), PLAN) is not None for _ in range(200)]
    assert sum(ended) / len(ended) <= PLAN.alpha


def test_failures_above_the_allowed_rate_end_it_though_the_champion_fails_as_often() -> None:
    evidence = stream(CHAMPION, np.random.default_rng(1))
    failed = np.random.default_rng(2).random(len(evidence.answers)) < 0.4
    evidence = Evidence(replace(evidence.answers, failed=failed))
    assert failing_at(evidence, PLAN) is not None
    assert harm_at(BY_NAME["errors"], evidence, PLAN) is None


def test_rise_within_the_margin_of_cost_is_no_harm() -> None:
    arm = replace(CHAMPION, tokens=1.15 * CHAMPION.tokens)
    evidence = stream(arm, np.random.default_rng(0))
    assert harm_at(BY_NAME["cost"], evidence, PLAN) is None
    tight = Plan(guardrails=Guardrails(cost=0.01))
    long = Evidence(_repeated(evidence.answers, 8))
    assert harm_at(BY_NAME["cost"], long, PLAN) is None
    assert harm_at(BY_NAME["cost"], long, tight) is not None


def _repeated(answers: Answers, times: int) -> Answers:
    return answers.take(np.tile(np.arange(len(answers)), times))


def test_signal_that_is_not_watched_ends_nothing_and_is_still_shown() -> None:
    evidence = stream(WORSE["latency"], np.random.default_rng(0))
    blind = Plan(guardrails=Guardrails(latency=None))
    assert harm_at(BY_NAME["latency"], evidence, blind) is None
    shown = weigh_signal(BY_NAME["latency"], evidence, blind)
    assert shown["low"] > 0.1
    assert not doubtful(BY_NAME["latency"], shown, blind)


def test_bounds_hold_the_truth_and_point_the_way_people_read_them() -> None:
    better = replace(CHAMPION, approvals=0.98, tokens=0.5 * CHAMPION.tokens)
    evidence = stream(better, np.random.default_rng(6))
    approvals = weigh_signal(BY_NAME["approvals"], evidence, PLAN)
    assert 0 < approvals["low"] < 0.08 < approvals["high"]
    assert approvals["challenger"] > approvals["control"]
    cost = weigh_signal(BY_NAME["cost"], evidence, PLAN)
    assert cost["measure"] == "ratio"
    assert 0.3 < cost["low"] < 0.5 < cost["high"] < 1


def test_estimate_beyond_the_margin_is_doubtful_once_there_are_answers_enough() -> None:
    evidence = stream(WORSE["cost"], np.random.default_rng(0))
    cost = BY_NAME["cost"]
    few = Evidence(evidence.answers.take(np.arange(30)))
    assert not doubtful(cost, weigh_signal(cost, few, PLAN), PLAN)
    more = Evidence(evidence.answers.take(np.arange(200)))
    assert doubtful(cost, weigh_signal(cost, more, PLAN), PLAN)


@pytest.mark.parametrize("name", ["latency", "cost"])
def test_scale_of_a_match_comes_from_before_it(name: str) -> None:
    evidence = stream(CHAMPION, np.random.default_rng(3))
    reading = BY_NAME[name].read(evidence)
    dealt = matching(reading.answers.challenger)
    scaled = BY_NAME[name].scaled
    assert scaled is not None
    before = scaled(reading.values, dealt)
    end = int(dealt.ends[len(dealt.ends) // 2])
    later = np.where(np.arange(len(reading.values)) > end, 1e6, reading.values)
    np.testing.assert_array_equal(scaled(later, dealt)[: end + 1], before[: end + 1])


def test_too_few_answers_have_no_scale() -> None:
    evidence = stream(CHAMPION, np.random.default_rng(3))
    few = Evidence(evidence.answers.take(np.arange(16)))
    for name in ("latency", "cost"):
        assert len(matches(BY_NAME[name], BY_NAME[name].read(few)).means) == 0
        assert weigh_signal(BY_NAME[name], few, PLAN)["challenger"] is None


def test_heavy_tail_does_not_make_an_equal_challenger_costly() -> None:
    rng, blamed = np.random.default_rng(8), 0
    for _ in range(60):
        evidence = stream(CHAMPION, rng)
        tokens = 100 * (1 + rng.pareto(1.2, len(evidence.answers)))  # of infinite variance
        heavy = Evidence(replace(evidence.answers, tokens=tokens))
        blamed += harm_at(BY_NAME["cost"], heavy, PLAN) is not None
    assert blamed / 60 <= PLAN.alpha


def test_margin_of_cancels_holds_by_default_and_changes_no_recipe_that_spells_guardrails_out() -> None:
    assert PLAN.watched.cancels == 0.1
    assert "cancels" not in Guardrails(cost=0.3).model_dump(exclude_none=True)
    assert BY_NAME["cancels"].margin(Plan(guardrails=Guardrails())) is None
