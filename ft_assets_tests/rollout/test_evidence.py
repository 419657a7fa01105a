"""Evidence counts what the two arms answered within the rollout, and the latest word on each answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.recipe import Recipe
from ft_assets.rollout.evidence import Evidence, figures, read_evidence
from ft_assets.rollout.reward import reward, similarity
from ft_assets.rollout.signals import SIGNALS
from ft_assets.rollout.weighing import failing_at
from ft_assets.storage.home import Home
from ft_assets_tests.rollout.traffic import answer, canary, judge, thumbs


def judged(evidence: Evidence) -> list[tuple[bool, float]]:
    """(challenger, reward) of each judged answer, in the order judged."""
    reading = SIGNALS[0].read(evidence)
    return list(zip(reading.answers.challenger.tolist(), (1 - reading.values).tolist(), strict=True))


def test_thumbs_edits_and_escalations_are_rewards() -> None:
    assert reward("thumb", "up", "x") == 1
    assert reward("thumb", "down", "x") == 0
    assert reward("edit", "Return the sum.", "Return the sum.") == 1
    assert reward("edit", "Completely different.", "zzz") == pytest.approx(0, abs=0.05)
    assert reward("escalation", None, "x") == 0
    assert reward("comment", "nice", "x") is None
    assert reward("demonstration", "An answer.", "x") is None


def test_smaller_edit_is_a_better_answer() -> None:
    kept = similarity("Return the sum of two numbers.", "Return the sum of both numbers.")
    assert similarity("Adds things up.", "Return the sum of both numbers.") < kept < 1


@given(st.text(max_size=40), st.text(max_size=40))
def test_rewards_stay_between_0_and_1(answered: str, edited: str) -> None:
    assert 0 <= similarity(answered, edited) <= 1
    assert similarity(answered, answered) == 1


def test_only_the_rollouts_own_arms_and_answers_count(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, recipe)
    thumbs(home, rollout, rollout.challenger, [True, True])
    thumbs(home, rollout, "base", [False])
    answer(home, rollout, "tiny@stranger")
    answer(home, rollout, rollout.challenger)  # nobody judges this one
    evidence = read_evidence(home, rollout)
    assert figures(evidence.of(True))["requests"] == 3
    assert figures(evidence.of(True))["judged"] == 2
    assert figures(evidence.of(True))["mean_reward"] == 1
    assert figures(evidence.of(False))["requests"] == 1
    assert judged(evidence) == [(True, 1.0), (True, 1.0), (False, 0.0)]


def test_latest_feedback_counts_and_the_order_stays(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, recipe)
    first = answer(home, rollout, rollout.challenger)
    second = answer(home, rollout, "base")
    judge(home, first, "thumb", "down")
    judge(home, second, "thumb", "up")
    judge(home, first, "thumb", "up")
    judge(home, first, "comment", "changed my mind")
    assert judged(read_evidence(home, rollout)) == [(True, 1.0), (False, 1.0)]


def test_failed_answer_is_judged_at_once_with_nothing(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, recipe)
    answer(home, rollout, rollout.challenger, error="boom")
    evidence = read_evidence(home, rollout)
    assert judged(evidence) == [(True, 0.0)]
    assert figures(evidence.of(True))["failed"] == 1


def test_figures_of_nothing(home: Home, recipe: Recipe) -> None:
    empty = figures(read_evidence(home, canary(home, recipe)).of(True))
    assert empty["mean_reward"] is None
    assert empty["latency_ms"] is None


def test_answer_that_its_user_cut_off_is_assigned_and_neither_failed_nor_judged(
    home: Home, recipe: Recipe
) -> None:
    rollout = canary(home, recipe)
    for _ in range(30):
        cut = answer(home, rollout, rollout.challenger, "ann", text="", cancelled=True, latency_ms=9_000.0)
    judge(home, cut, "thumb", "down")
    judge(home, cut, "escalation", None)
    thumbs(home, rollout, rollout.challenger, [True])
    evidence = read_evidence(home, rollout)
    assert failing_at(evidence, rollout.plan) is None
    assert judged(evidence) == [(True, 1.0)]
    seen = figures(evidence.of(True))
    assert (seen["requests"], seen["users"], seen["cancelled"]) == (31, 2, 30)
    assert (seen["failed"], seen["judged"], seen["latency_ms"]["p95"]) == (0, 1, 12.0)
    counted = {signal.name: len(signal.read(evidence).answers) for signal in SIGNALS}
    alone = dict.fromkeys(("reward", "approvals", "refusals", "errors", "latency", "cost"), 1)
    assert counted == {**alone, "edits": 0, "cancels": 31, "escalations": 31}
    assert evidence.answers.escalated.sum() == 1 and not evidence.answers.refused.any()
