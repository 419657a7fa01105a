"""Broken answers and broken routing are noticed soon, and healthy ones are left alone."""

import math

import numpy as np
import pytest

from ft_assets.rollout.error_rate import first_alarm
from ft_assets.rollout.sample_ratio import log_evidence


def fails_too_often(failed: list[bool], allowed: float) -> bool:
    return first_alarm(np.array(failed, dtype=bool), allowed, 0.0025) is not None


@pytest.mark.parametrize("good_before", [0, 20, 2_000])
def test_sudden_break_is_noticed_within_ten_answers(good_before: int) -> None:
    assert not fails_too_often([False] * good_before, 0.1)
    assert fails_too_often([False] * good_before + [True] * 10, 0.1)


def test_one_failure_is_not_an_alarm_unless_none_is_allowed() -> None:
    assert not fails_too_often([True], 0.1)
    assert fails_too_often([False, True, False], 0.0)
    assert not fails_too_often([True] * 100, 1.0)


def test_failures_below_the_allowed_rate_raise_no_alarm_and_twice_the_rate_does() -> None:
    rng = np.random.default_rng(0)
    alarms = [fails_too_often((rng.random(3_000) < 0.05).tolist(), 0.1) for _ in range(50)]
    assert not any(alarms)
    found = [fails_too_often((rng.random(2_000) < 0.2).tolist(), 0.1) for _ in range(50)]
    assert sum(found) >= 49


def test_alarm_names_the_answer_that_proved_it_and_no_later_one_changes_that() -> None:
    failed = np.array([False] * 30 + [True] * 20)
    first = first_alarm(failed, 0.1, 0.0025)
    assert first is not None and 30 < first < 40
    assert first_alarm(failed[: first + 1], 0.1, 0.0025) == first
    assert first_alarm(failed[:first], 0.1, 0.0025) is None
    assert first_alarm(failed[:0], 0.1, 0.0025) is None


def test_answers_that_fail_as_often_as_allowed_raise_a_false_alarm_at_most_alpha_of_the_time() -> None:
    rng = np.random.default_rng(3)
    alarms = [first_alarm(rng.random(2_000) < 0.1, 0.1, 0.05) is not None for _ in range(400)]
    assert sum(alarms) / 400 <= 0.05


def test_planned_split_raises_no_alarm_however_often_one_looks() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        counts = np.cumsum(rng.random(500) < 0.25)
        worst = max(log_evidence(int(c), n, 0.25, 0.25) for n, c in enumerate(counts, start=1))
        assert worst < math.log(1e4)


def test_split_that_routing_cannot_explain_is_noticed() -> None:
    assert log_evidence(0, 60, 0.25, 0.25) > math.log(1e4)
    assert log_evidence(60, 60, 0.25, 0.5) > math.log(1e4)
    assert log_evidence(100, 200, 0.25, 0.25) > math.log(1e4)


def test_shares_between_two_steps_weights_are_as_planned() -> None:
    for count in range(25, 51):
        assert log_evidence(count, 100, 0.25, 0.5) < 0
    assert log_evidence(0, 0, 0.25, 0.5) == 0
