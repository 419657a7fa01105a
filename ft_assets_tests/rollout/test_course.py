"""The course of a signal is what earlier looks would have seen."""

import numpy as np
import pytest

from ft_assets.recipe_rollout import Guardrails
from ft_assets.recipe_rollout import Rollout as Plan
from ft_assets.rollout.course import course, limit
from ft_assets.rollout.evidence import Evidence
from ft_assets.rollout.signals import SIGNALS, Signal
from ft_assets.rollout.simulated_traffic import WORSE, stream
from ft_assets.rollout.weighing import weigh_signal

PLAN = Plan()
BY_NAME = {signal.name: signal for signal in SIGNALS}
EVIDENCE = stream(WORSE["approvals"], np.random.default_rng(3))


ALL = pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.name)


def after(answers: int) -> Evidence:
    return Evidence(EVIDENCE.answers.take(np.arange(answers)))


@ALL
@pytest.mark.parametrize("answers", [150, 900, 2000])
def test_the_last_point_is_what_the_judge_has_now(signal: Signal, answers: int) -> None:
    last, weighed = course(signal, after(answers), PLAN)[-1], weigh_signal(signal, after(answers), PLAN)
    assert (last["low"], last["high"]) == (weighed["low"], weighed["high"])
    together = weighed["challenger"] / weighed["control"] if signal.ratio else None
    expected = weighed["challenger"] - weighed["control"] if together is None else together
    assert last["mean"] == pytest.approx(expected, abs=1e-3)


@ALL
def test_an_earlier_point_is_what_a_look_at_that_moment_had(signal: Signal) -> None:
    late = {point["matches"]: point for point in course(signal, EVIDENCE, PLAN)}
    early = [point for point in course(signal, after(900), PLAN) if point["matches"] in late]
    assert 8 <= len(early) < len(late) <= 41
    assert [late[point["matches"]] for point in early] == early


def test_nothing_was_matched_so_there_is_no_course() -> None:
    nobody = Evidence(EVIDENCE.answers.take(np.arange(0)))
    assert [course(signal, nobody, PLAN) for signal in SIGNALS] == [[]] * len(SIGNALS)


def test_the_margin_is_turned_as_the_course_is() -> None:
    assert limit(BY_NAME["reward"], PLAN) == -0.1
    assert limit(BY_NAME["errors"], PLAN) == 0.05
    assert limit(BY_NAME["cost"], PLAN) == 1.2
    assert limit(BY_NAME["edits"], Plan(guardrails=Guardrails(edits=None))) is None
