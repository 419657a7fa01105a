"""The shadow step: no user gets the challenger, and pairs of answers to the same requests judge it."""

from datetime import timedelta

import pytest

from ft_assets.recipe import Recipe
from ft_assets.registry.history import at
from ft_assets.registry.ledger import champion, entries
from ft_assets.registry.routing import choose, route
from ft_assets.registry.served import spans
from ft_assets.rollout.controller import step
from ft_assets.rollout.decisions import decide
from ft_assets.rollout.evidence import read_evidence
from ft_assets.rollout.judge import Verdict
from ft_assets.rollout.report import standing
from ft_assets.rollout.rollout import open_rollout, rollouts_of
from ft_assets.storage.home import Home
from ft_assets_tests.rollout.test_controller import planned
from ft_assets_tests.rollout.traffic import answer, both, canary, look_later, mirrored, thumbs


def shadowed(recipe: Recipe, **settings: object) -> Recipe:
    return planned(recipe, **{"shadow": {"min_requests": 20}, "steps": [0.5], **settings})


def look(home: Home) -> Verdict:
    verdict = step(home, "tiny")
    assert verdict is not None
    return verdict


def test_shadow_has_weight_0_and_is_shown_as_a_challenger(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, shadowed(recipe))
    assert (rollout.weight, rollout.is_shadow) == (0, True)
    present = route(home, "tiny")
    assert present.challenger is not None and present.challenger.address == rollout.challenger
    assert {choose(present, f"user {n}").address for n in range(200)} == {"base"}
    now = at(home, "tiny")
    assert (now.champion, now.challenger, now.weight) == ("base", rollout.challenger, 0)
    (span,) = spans(entries(home, "tiny"), rollout.challenger)
    assert (span.share, span.until) == (0, None)
    assert spans(entries(home, "tiny"), "base")[0].share == 1
    assert "starts as a shadow" in entries(home, "tiny")[0].reason


def test_without_harm_the_challenger_gets_its_first_users(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, shadowed(recipe))
    mirrored(home, rollout, 19)
    verdict = look(home)
    assert verdict.move == "wait" and "19 of 20" in verdict.reason
    assert verdict.figures["challenger"]["requests"] == 19
    mirrored(home, rollout, 1)
    assert look(home).move == "step"
    assert route(home, "tiny").weight == 0.5
    assert [span.share for span in spans(entries(home, "tiny"), rollout.challenger)] == [0, 0.5]


@pytest.mark.parametrize(
    ("signal", "answers"),
    [
        ("errors", {"error": "boom"}),
        ("refusals", {"text": "I'm sorry, but I can't help with that."}),
        ("latency", {"latency_ms": 900.0}),
        ("cost", {"answer_tokens": 60}),
    ],
)
def test_harm_ends_it_before_any_user_got_the_challenger(
    home: Home, recipe: Recipe, signal: str, answers: dict
) -> None:
    recipe = shadowed(recipe, shadow={"min_requests": 500}, max_error_rate=1.0)
    rollout = canary(home, recipe)
    mirrored(home, rollout, 40, **answers)
    verdict = look(home)
    assert verdict.move == "rollback"
    assert f"is worse than base: {signal}" in verdict.reason
    assert champion(home, "tiny") == "base"
    assert {entry.weight for entry in entries(home, "tiny")} == {0}


def test_halves_of_pairs_count_for_nothing(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, shadowed(recipe))
    for _ in range(30):
        answer(home, rollout, "base")  # a request that was not mirrored
        answer(home, rollout, rollout.challenger, shadow=True, pair="lost", latency_ms=1e6, error="boom")
    evidence = read_evidence(home, rollout)
    assert (evidence.pairs, len(evidence.answers)) == (0, 0)
    assert look(home).move == "wait"


def test_pairs_compare_the_same_requests(home: Home, recipe: Recipe) -> None:
    """Requests differ a thousandfold, and the challenger takes 30 tokens more of each: pairs see it soon."""
    rollout = canary(home, shadowed(recipe))
    for n in range(10):
        seen = answer(home, rollout, "base", answer_tokens=10 * (n + 1))
        answer(home, rollout, rollout.challenger, shadow=True, pair=seen, answer_tokens=10 * (n + 1) + 30)
    evidence = read_evidence(home, rollout)
    tokens = evidence.shadow.tokens.reshape(-1, 2)
    assert (tokens[:, 0] - tokens[:, 1]).tolist() == [30] * 10
    assert evidence.shadow.challenger.tolist() == [True, False] * 10


def test_what_users_said_to_the_champion_alone_is_no_evidence(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, shadowed(recipe))
    thumbs(home, rollout, "base", [True] * 30)
    mirrored(home, rollout, 20)
    assert look(home).move == "step"
    verdict = look(home)
    assert verdict.move == "wait"
    assert verdict.figures["control"]["judged"] == 0
    rollout = rollouts_of(home, "tiny")[-1]
    both(home, rollout, True, False, 20)
    assert look(home).move == "promote"


def test_costlier_shadow_that_is_not_proven_is_held_for_a_person(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, shadowed(recipe, max_requests=24))
    mirrored(home, rollout, 20, answer_tokens=3)
    verdict = look(home)
    assert verdict.move == "wait" and "cost" in verdict.reason
    mirrored(home, rollout, 4, answer_tokens=3)
    assert look(home).move == "hold"
    assert open_rollout(home, "tiny") is not None
    assert standing(home, "tiny")["shadow"]


def test_users_who_never_get_the_challenger_are_noticed(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, shadowed(recipe, min_requests=500))
    mirrored(home, rollout, 20)
    assert look(home).move == "step"
    later = rollouts_of(home, "tiny")[-1].step_began_at + timedelta(minutes=1)
    for n in range(60):
        answer(home, rollout, "base", f"user {n}", created_at=later)
    verdict = look_later(home)
    assert verdict.move == "hold" and "0 of 60 users" in verdict.reason


def test_first_users_share_is_checked_against_its_own_weight(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, shadowed(recipe, min_requests=500))
    mirrored(home, rollout, 20)
    assert look(home).move == "step"
    rollout = rollouts_of(home, "tiny")[-1]
    later = rollout.step_began_at + timedelta(minutes=1)
    answer(home, rollout, rollout.challenger, "first", created_at=later)
    for n in range(60):
        answer(home, rollout, "base", f"user {n}", created_at=later + timedelta(seconds=n))
    verdict = look_later(home)
    assert verdict.move == "hold" and "1 of 61 users" in verdict.reason


def test_a_held_shadow_that_is_resumed_counts_anew(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, shadowed(recipe, max_requests=30))
    for n in range(40):  # now and then twice the tokens: seen beyond the margin, and no proof
        mirrored(home, rollout, 1, answer_tokens=2 if n % 3 else 4)
    assert look(home).move == "hold"
    decide(home, "tiny", "resume", "ada", "look further")
    assert look(home).move == "wait"
    for n in range(31):
        mirrored(home, rollout, 1, answer_tokens=2 if n % 3 else 4)
    assert look(home).move == "hold"


def test_a_mirrored_answer_that_fails_late_is_no_answer_to_users(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, shadowed(recipe, min_requests=1))
    mirrored(home, rollout, 20)
    assert look(home).move == "step"
    seen = answer(home, rollout, "base", "a user")
    answer(home, rollout, rollout.challenger, shadow=True, pair=seen, error="it broke")
    thumbs(home, rollout, "base", [True])
    verdict = look(home)
    assert (verdict.move, verdict.figures["judged_at_step"]) == ("wait", 0)
