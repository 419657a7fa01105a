"""The controller moves a rollout by its evidence, once, whoever else is at it, and survives a kill."""

import multiprocessing
import os
import signal
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from ft_assets.errors import Refused
from ft_assets.recipe import Recipe
from ft_assets.registry import ledger
from ft_assets.registry.rollback import rollback
from ft_assets.registry.routing import route
from ft_assets.rollout import controller
from ft_assets.rollout.controller import step
from ft_assets.rollout.rollout import Rollout, open_rollout, rollouts_of
from ft_assets.rollout.start import start
from ft_assets.storage.home import Home
from ft_assets.storage.releases import find_release
from ft_assets_tests.rollout.traffic import answer, both, canary, look_later, routed, thumbs


def planned(recipe: Recipe, **settings: object) -> Recipe:
    """The recipe with another canary plan; half the users from the start, few answers a step."""
    plan = {"steps": [0.5], "min_requests": 5, **settings}
    return recipe.model_copy(update={"rollout": type(recipe.rollout).model_validate(plan)})


def actions(home: Home) -> list[str]:
    return [entry.action for entry in ledger.entries(home, "tiny")]


def state(home: Home, rollout: Rollout) -> str:
    return rollouts_of(home, "tiny", rollout.candidate)[-1].state


def test_without_a_rollout_there_is_nothing_to_do(home: Home) -> None:
    assert step(home, "tiny") is None


def test_waits_until_enough_answers_are_judged(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe))
    both(home, rollout, True, True, 4)
    verdict = step(home, "tiny")
    assert verdict is not None
    assert (verdict.move, actions(home)) == ("wait", ["canary"])
    assert "4 of 5" in verdict.reason


def test_better_challenger_climbs_every_step_and_becomes_champion(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, recipe)  # steps of 25 % and 50 %, 20 judged answers each
    users = iter(range(10_000))
    moves = []
    while open_rollout(home, "tiny"):
        routed(home, rollout, [f"user {next(users)}" for _ in range(20)], challenger=True, control=False)
        verdict = step(home, "tiny")
        assert verdict is not None
        if verdict.move != "wait":
            moves.append(verdict.move)
    assert moves == ["step", "promote"]
    assert actions(home) == ["canary", "step", "promote"]
    assert ledger.champion(home, "tiny") == rollout.challenger
    assert route(home, "tiny").champion.address == rollout.challenger
    assert route(home, "tiny").challenger is None
    last = ledger.entries(home, "tiny")[-1]
    assert last.by == controller.CONTROLLER
    assert last.details["figures"]["challenger"]["mean_reward"] == 1
    assert last.details["figures"]["challenger"]["judged"] <= 60


def test_each_step_counts_its_own_answers(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, steps=[0.4, 0.6]))
    both(home, rollout, True, True, 5)
    assert step(home, "tiny").move == "step"  # type: ignore[union-attr]
    assert route(home, "tiny").weight == 0.6
    verdict = step(home, "tiny")
    assert verdict is not None
    assert verdict.move == "wait"
    assert verdict.figures["judged_at_step"] == 0


def test_worse_challenger_leaves_traffic_before_the_step_is_full(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, min_requests=200))
    both(home, rollout, False, True, 12)
    verdict = step(home, "tiny")
    assert verdict is not None
    assert verdict.move == "rollback"
    assert "is worse than base" in verdict.reason
    assert state(home, rollout) == "rolled_back"
    assert route(home, "tiny").challenger is None
    assert ledger.champion(home, "tiny") == "base"
    assert step(home, "tiny") is None


def test_failing_challenger_leaves_traffic_without_any_feedback(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe))
    for _ in range(8):
        answer(home, rollout, rollout.challenger, error="out of memory")
    verdict = step(home, "tiny")
    assert verdict is not None
    assert verdict.move == "rollback"
    assert "8 of 8 answers failed" in verdict.reason


def test_equal_challenger_waits_and_is_held_for_a_person(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, max_requests=8, margin=0.2))
    both(home, rollout, True, True, 7)
    assert step(home, "tiny").move == "wait"  # type: ignore[union-attr]
    both(home, rollout, True, True, 1)
    verdict = step(home, "tiny")
    assert verdict is not None
    assert verdict.move == "hold"
    assert "ft-assets rollback tiny" in verdict.reason
    assert route(home, "tiny").weight == 0.5  # a held rollout keeps its users
    both(home, rollout, True, True, 40)
    verdict = step(home, "tiny")
    assert verdict is not None
    assert verdict.figures["interval"]["low"] > -0.2  # good enough by now, and still the person's decision
    assert verdict.move == "wait"
    assert actions(home) == ["canary", "hold"]


def test_held_rollout_still_leaves_traffic_when_harm_shows(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, max_requests=5, margin=0.01))
    both(home, rollout, True, True, 5)
    assert step(home, "tiny").move == "hold"  # type: ignore[union-attr]
    both(home, rollout, False, True, 60)
    assert step(home, "tiny").move == "rollback"  # type: ignore[union-attr]


def test_held_rollout_goes_on_when_a_person_starts_it_again(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, max_requests=5, margin=0.01))
    both(home, rollout, True, True, 5)
    step(home, "tiny")
    again = start(home, "tiny", rollout.candidate, by="ada")
    assert (again.id, again.state, again.salt) == (rollout.id, "running", rollout.salt)
    verdict = step(home, "tiny")
    assert verdict is not None
    assert verdict.figures["judged_at_step"] == 0
    assert actions(home) == ["canary", "hold", "step"]


def test_split_that_routing_cannot_explain_is_held(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, min_requests=500))
    thumbs(home, rollout, rollout.challenger, [True] * 40)
    verdict = look_later(home)
    assert verdict.move == "hold"
    assert "40 of 40 users" in verdict.reason


def test_answers_that_one_arm_may_still_be_giving_do_not_count_for_the_split(
    home: Home, recipe: Recipe
) -> None:
    """An answer is seen when it has ended, so at first a slow challenger seems to get nobody."""
    rollout = canary(home, planned(recipe, min_requests=500))
    thumbs(home, rollout, rollout.control, [True] * 40)
    verdict = step(home, "tiny")
    assert verdict is not None and verdict.move == "wait"
    assert look_later(home).move == "hold"


def test_adapter_that_rotted_during_its_canary_is_not_promoted(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe))
    both(home, rollout, True, False, 20)
    digest = find_release(home, rollout.challenger).adapter_digest
    (home.artifacts.path("adapters", digest) / "adapter_model.safetensors").write_text("evil")
    verdict = step(home, "tiny")
    assert verdict is not None
    assert verdict.move == "rollback"
    assert "changed after it was written" in verdict.reason
    assert ledger.champion(home, "tiny") == "base"


def test_plan_of_the_start_holds_whatever_the_recipe_says_later(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, min_requests=5))
    assert open_rollout(home, "tiny").plan.min_requests == 5  # type: ignore[union-attr]
    assert rollout.plan == planned(recipe).rollout


def test_many_controllers_move_once(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, steps=[0.4, 0.5, 0.6, 0.7]))
    both(home, rollout, True, True, 5)
    barrier = threading.Barrier(6)

    def look(_: int) -> object:
        mine = Home(home.root)
        barrier.wait()
        return step(mine, "tiny")

    with ThreadPoolExecutor(6) as pool:
        assert len(list(pool.map(look, range(6)))) == 6
    assert actions(home) == ["canary", "step"]
    assert open_rollout(home, "tiny").step == 1  # type: ignore[union-attr]


def test_person_who_rolls_back_during_a_look_wins(
    home: Home, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout = canary(home, planned(recipe))
    both(home, rollout, True, False, 20)

    def meanwhile(home: Home, rollout: Rollout) -> object:
        rollback(home, "tiny", None, "ada", "something smells")
        return read(home, rollout)

    read = controller.read_evidence
    monkeypatch.setattr(controller, "read_evidence", meanwhile)
    assert step(home, "tiny") is None
    assert actions(home) == ["canary", "rollback"]
    assert ledger.champion(home, "tiny") == "base"
    assert state(home, rollout) == "rolled_back"


def _die_before_commit(root: str) -> None:
    def killed(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    controller.append = killed  # the rollout's row is updated by then, in the same transaction
    step(Home(root), "tiny")


def test_kill_between_the_rows_of_a_move_leaves_neither(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe))
    both(home, rollout, True, False, 20)
    child = multiprocessing.get_context("spawn").Process(target=_die_before_commit, args=[home.root])
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    assert (state(home, rollout), actions(home)) == ("running", ["canary"])
    assert step(Home(home.root), "tiny").move == "promote"  # type: ignore[union-attr]
    assert ledger.champion(home, "tiny") == rollout.challenger


def test_equal_canary_is_not_blamed_for_noise(home: Home, recipe: Recipe) -> None:
    # Every other answer is good in both arms: as noisy as thumbs get, looked at after each pair.
    rollout = canary(home, planned(recipe, min_requests=500, max_requests=500))
    for turn in range(40):
        both(home, rollout, turn % 3 != 0, turn % 2 != 0, 1)
        verdict = step(home, "tiny")
        assert verdict is not None
        assert verdict.move == "wait"


def test_ledger_and_rollout_agree_after_every_move(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, steps=[0.4, 0.6]))
    for _ in range(2):
        both(home, rollout, True, False, 10)
        step(home, "tiny")
        latest = ledger.latest_entry(home, "tiny")
        now = rollouts_of(home, "tiny", rollout.candidate)[-1]
        assert latest is not None
        assert (latest.details["weight"], latest.details["step"]) == (now.weight, now.step)


@pytest.mark.parametrize("attempt", range(4))
def test_promotion_and_rollback_at_once_leave_one_story(home: Home, recipe: Recipe, attempt: int) -> None:
    rollout = canary(home, planned(recipe))
    both(home, rollout, True, False, 15)
    barrier = threading.Barrier(2)

    def race(move: Callable[[Home], object]) -> None:
        mine = Home(home.root)
        assert mine.database
        barrier.wait()
        with suppress(Refused):  # told that the other was faster
            move(mine)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(race, [lambda h: step(h, "tiny"), lambda h: rollback(h, "tiny", None, "ada", "stop")]))
    told = actions(home)
    ended = state(home, rollout)
    if told == ["canary", "promote"]:
        assert (ended, ledger.champion(home, "tiny")) == ("promoted", rollout.challenger)
    else:
        assert told in (["canary", "rollback"], ["canary", "promote", "rollback"])
        assert ended == ("promoted" if "promote" in told else "rolled_back")
        assert ledger.champion(home, "tiny") == "base"
    assert route(home, "tiny").challenger is None


def cut(home: Home, rollout: Rollout, address: str, count: int) -> None:
    for _ in range(count):
        answer(home, rollout, address, uuid.uuid4().hex, cancelled=True)


def test_users_who_stop_answers_of_both_arms_roll_nothing_back(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe))
    cut(home, rollout, rollout.challenger, 10)
    verdict = step(home, "tiny")
    assert verdict is not None and verdict.move == "wait"
    assert "0 of 5 answers" in verdict.reason
    cut(home, rollout, rollout.control, 10)
    both(home, rollout, True, False, 20)
    assert [entry for entry in (step(home, "tiny"),) if entry and entry.move == "promote"]


def test_challenger_whose_answers_users_run_away_from_is_rolled_back(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe))
    for _ in range(60):
        cut(home, rollout, rollout.challenger, 1)
        answer(home, rollout, rollout.control, uuid.uuid4().hex)
    verdict = step(home, "tiny")
    assert verdict is not None and verdict.move == "rollback"
    assert "cancels 1.000 against 0.000" in verdict.reason


def test_users_of_answers_that_were_cut_off_count_for_the_split(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe))
    cut(home, rollout, rollout.control, 80)
    verdict = look_later(home)
    assert verdict.move == "hold"
    assert "0 of 80 users" in verdict.reason
