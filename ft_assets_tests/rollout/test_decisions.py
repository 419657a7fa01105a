"""A person approves, pauses, resumes, aborts; the ledger says who and why; clocks jump; a restart loses nothing."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from ft_assets.cli import cli
from ft_assets.errors import Refused, WrongInput
from ft_assets.recipe import Recipe
from ft_assets.registry import ledger
from ft_assets.registry.history import at
from ft_assets.registry.routing import route
from ft_assets.rollout.controller import step
from ft_assets.rollout.decisions import DECISIONS, decide
from ft_assets.rollout.evidence import read_evidence
from ft_assets.rollout.judge import judge
from ft_assets.rollout.rollout import Rollout, open_rollout, rollouts_of
from ft_assets.storage.home import Home
from ft_assets.storage.releases import find_release
from ft_assets_tests.registry.attempts import passed
from ft_assets_tests.rollout.test_controller import actions, planned, state
from ft_assets_tests.rollout.traffic import answer, both, canary, mirrored, thumbs
from ft_assets_tests.rollout.traffic import judge as say


def moved(home: Home) -> str:
    verdict = step(home, "tiny")
    assert verdict is not None
    return verdict.move


def test_paused_rollout_keeps_its_share_and_takes_no_step(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, steps=[0.4, 0.6]))
    after = decide(home, "tiny", "pause", "ada", "a holiday")
    assert (after.state, after.weight) == ("paused", 0.4)
    assert route(home, "tiny").weight == at(home, "tiny").weight == 0.4
    both(home, rollout, True, True, 30)
    assert moved(home) == "wait"
    assert actions(home) == ["canary", "pause"]
    resumed = decide(home, "tiny", "resume", "ada", "back again")
    assert resumed.state == "running"
    assert moved(home) == "step"  # what was said while it was paused counts
    last = ledger.entries(home, "tiny")[2]
    assert (last.action, last.by, last.reason, last.weight) == ("resume", "ada", "back again", 0.4)


def test_harm_rolls_back_a_paused_rollout(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe))
    decide(home, "tiny", "pause", "ada", "lunch")
    both(home, rollout, False, True, 20)
    assert moved(home) == "rollback"
    assert state(home, rollout) == "rolled_back"


def test_approval_takes_the_next_step_without_evidence(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, shadow={"min_requests": 9}, steps=[0.4]))
    assert decide(home, "tiny", "approve", "ada", "seen enough").weight == 0.4
    assert decide(home, "tiny", "approve", "ada", "ship it").state == "promoted"
    assert ledger.champion(home, "tiny") == rollout.challenger
    told = [(entry.action, entry.by, entry.reason) for entry in ledger.entries(home, "tiny")[1:]]
    assert told == [("step", "ada", "seen enough"), ("promote", "ada", "ship it")]


def test_approval_of_a_held_rollout_goes_on_with_new_counts(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, steps=[0.4, 0.6], max_requests=5, margin=0.01))
    both(home, rollout, False, False, 2)
    both(home, rollout, True, True, 3)
    thumbs(home, rollout, rollout.challenger, [False])
    assert moved(home) == "hold"
    after = decide(home, "tiny", "approve", "ada", "noise")
    assert (after.state, after.step, after.weight) == ("running", 1, 0.6)


def test_changed_bytes_are_not_approved_at_any_step(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, steps=[0.4, 0.6]))
    digest = find_release(home, rollout.challenger).adapter_digest
    (home.artifacts.path("adapters", digest) / "adapter_model.safetensors").write_text("evil")
    with pytest.raises(Refused, match="changed after it was written"):
        decide(home, "tiny", "approve", "ada", "seen enough")
    assert actions(home) == ["canary"]


def test_a_held_rollout_is_not_paused_as_it_takes_no_step(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, max_requests=8, margin=0.01))
    both(home, rollout, True, True, 10)
    assert moved(home) == "hold"
    with pytest.raises(Refused, match="is held, so there is nothing to pause"):
        decide(home, "tiny", "pause", "ada", "lunch")
    decide(home, "tiny", "resume", "ada", "look further")
    assert moved(home) == "wait"


def test_a_held_rollout_says_why(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, max_requests=8, margin=0.01))
    both(home, rollout, True, True, 10)
    assert moved(home) == "hold"
    told = CliRunner().invoke(cli, ["rollout", "tiny"])
    assert "last: hold by canary controller: undecided after 10 answers" in told.output


def test_proven_harm_is_not_approved(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe))
    both(home, rollout, False, True, 20)
    with pytest.raises(Refused, match="the next look rolls it back"):
        decide(home, "tiny", "approve", "ada", "I like it")
    assert actions(home) == ["canary"]


def test_changed_bytes_are_not_approved(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe))
    digest = find_release(home, rollout.challenger).adapter_digest
    (home.artifacts.path("adapters", digest) / "adapter_model.safetensors").write_text("evil")
    with pytest.raises(Refused, match="changed after it was written"):
        decide(home, "tiny", "approve", "ada", "quick")
    assert ledger.champion(home, "tiny") == "base"


def test_abort_ends_it_and_the_champion_stays(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe))
    after = decide(home, "tiny", "abort", "ada", "wrong data")
    assert (after.state, after.weight, open_rollout(home, "tiny")) == ("aborted", 0, None)
    assert route(home, "tiny").challenger is None
    assert at(home, "tiny").challenger is None
    assert (state(home, rollout), step(home, "tiny")) == ("aborted", None)
    entry = ledger.entries(home, "tiny")[-1]
    assert (entry.action, entry.champion, entry.by, entry.reason) == ("abort", "base", "ada", "wrong data")


@pytest.mark.parametrize("decision", DECISIONS)
def test_decision_about_nothing_is_refused(home: Home, decision: str) -> None:
    with pytest.raises(Refused, match="no open rollout"):
        decide(home, "tiny", decision, "ada", "why not")  # type: ignore[arg-type]


def test_decision_that_changes_nothing_or_names_nobody_is_refused(home: Home, recipe: Recipe) -> None:
    canary(home, planned(recipe))
    with pytest.raises(Refused, match="nothing to resume"):
        decide(home, "tiny", "resume", "ada", "again")
    decide(home, "tiny", "pause", "ada", "wait")
    with pytest.raises(Refused, match="nothing to pause"):
        decide(home, "tiny", "pause", "ada", "wait")
    for by, reason in ((" ", "why"), ("ada", "")):
        with pytest.raises(WrongInput, match="who makes it and why"):
            decide(home, "tiny", "abort", by, reason)
    other = passed(home, recipe, "two")
    with pytest.raises(Refused, match="not of"):
        decide(home, "tiny", "abort", "ada", "stop", other.key)
    assert actions(home) == ["canary", "pause"]


def test_new_process_goes_on_at_every_point(home: Home, recipe: Recipe) -> None:
    """Every look and every decision is made by an installation that was opened for it alone."""
    rollout = canary(home, planned(recipe, shadow={"min_requests": 8}, steps=[0.4, 0.6]))
    mirrored(home, rollout, 8)
    told = []
    for decision in ("pause", "resume"):
        decide(Home(home.root), "tiny", decision, "ada", "restart")  # type: ignore[arg-type]
        told.append(moved(Home(home.root)))
    for _ in range(2):
        both(home, rollout, True, False, 20)
        told.append(moved(Home(home.root)))
    assert told == ["wait", "step", "step", "promote"]
    assert actions(home) == ["canary", "pause", "resume", "step", "step", "promote"]


def verdict_at(home: Home, rollout: Rollout, later: timedelta) -> str:
    rollout = rollouts_of(home, "tiny", rollout.candidate)[-1]
    return judge(rollout, read_evidence(home, rollout), datetime.now(UTC) + later).move


def test_step_takes_its_least_time_whatever_the_clock_does(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, min_minutes=10))
    both(home, rollout, True, False, 20)
    assert verdict_at(home, rollout, timedelta(minutes=9)) == "wait"
    assert verdict_at(home, rollout, timedelta(minutes=11)) == "promote"
    assert verdict_at(home, rollout, -timedelta(days=30)) == "wait"
    assert verdict_at(home, rollout, timedelta(days=3_000)) == "promote"


def test_too_long_a_rollout_is_held_and_never_rolled_back_for_it(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe, max_hours=2))
    both(home, rollout, True, True, 3)
    assert verdict_at(home, rollout, timedelta(hours=1)) == "wait"
    assert verdict_at(home, rollout, -timedelta(days=1)) == "wait"
    assert verdict_at(home, rollout, timedelta(hours=3)) == "hold"
    both(home, rollout, False, True, 20)
    assert verdict_at(home, rollout, timedelta(hours=3)) == "rollback"


def test_answers_from_before_a_clock_that_went_back_still_show_harm(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe))
    yesterday = datetime.now(UTC) - timedelta(days=1)
    for _ in range(20):
        for address, thumb in ((rollout.challenger, "down"), (rollout.control, "up")):
            say(home, answer(home, rollout, address, created_at=yesterday), "thumb", thumb)
    assert moved(home) == "rollback"


def run(*arguments: str) -> str:
    told = CliRunner().invoke(cli, ["rollout", *arguments], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return told.output


def test_command_shows_every_signal_and_carries_out_decisions(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe))
    both(home, rollout, True, True, 4)
    shown = json.loads(run("tiny", "--json"))
    assert shown["next"] == "wait" and shown["state"] == "running"
    signals = shown["figures"]["signals"]
    assert list(signals) == [
        *("reward", "approvals", "edits", "escalations", "refusals", "errors", "cancels", "latency", "cost")
    ]
    assert signals["approvals"]["answers"] == [4, 4]
    assert actions(home) == ["canary"]  # looking changes nothing
    text = run("tiny")
    assert "running, with 50% of users" in text and "escalations" in text
    assert "2.0 tokens" in text
    assert "paused" in run("tiny", "--pause", "--by", "ada", "--reason", "slow day")
    assert "running" in run("tiny", "--resume", "--by", "ada", "--reason", "go")
    assert "aborted" in run("tiny", "--abort", "--by", "ada", "--reason", "no")
    assert [entry.by for entry in ledger.entries(home, "tiny")[1:]] == ["ada"] * 3


def test_two_decisions_at_once_are_refused_and_neither_is_carried_out(home: Home, recipe: Recipe) -> None:
    canary(home, planned(recipe))
    with pytest.raises(WrongInput, match="`--pause` and `--abort` are several decisions"):
        run("tiny", "--pause", "--abort")
    assert actions(home) == ["canary"]
