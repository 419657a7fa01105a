"""A canary starts only for a released candidate whose proof still holds, one at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, tzinfo

import pytest

from ft_assets.errors import FtAssetsError, Refused
from ft_assets.evaluation.receipts import issue_receipt
from ft_assets.recipe import Recipe
from ft_assets.registry.ledger import entries
from ft_assets.registry.releases import release
from ft_assets.registry.rollback import rollback
from ft_assets.registry.routing import route
from ft_assets.rollout import start as start_module
from ft_assets.rollout.decisions import decide
from ft_assets.rollout.rollout import open_rollout, rollouts_of
from ft_assets.rollout.start import start
from ft_assets.storage.home import Home
from ft_assets.storage.releases import list_releases
from ft_assets_tests.registry.attempts import attempt, passed
from ft_assets_tests.rollout.traffic import canary


def test_start_gives_the_first_share_against_the_base(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, recipe)
    assert (rollout.state, rollout.step, rollout.weight, rollout.control) == ("running", 0, 0.25, "base")
    present = route(home, "tiny")
    assert present.champion.address == "base"
    assert present.challenger is not None
    assert present.challenger.address == rollout.challenger
    assert present.challenger.adapter_digest == list_releases(home)[0].adapter_digest
    assert (present.weight, present.rollout, present.salt) == (0.25, rollout.id, rollout.salt)
    (entry,) = entries(home, "tiny")
    assert (entry.action, entry.by, entry.champion) == ("canary", "ada@example.org", "base")


def test_starting_again_changes_nothing(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, recipe)
    assert start(home, "tiny", rollout.candidate, by="someone else") == rollout
    assert len(entries(home, "tiny")) == 1


def test_the_newest_rollout_is_the_one_that_began_last_whatever_the_clock_said(
    home: Home, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(hours=1)

    with monkeypatch.context() as before:
        before.setattr(start_module, "datetime", Ahead)
        first = canary(home, recipe)
    decide(home, "tiny", "abort", "ada", "a wrong hour")
    again = start(home, "tiny", first.candidate, by="ada")
    assert again.id != first.id and again.is_open
    assert [each.id for each in rollouts_of(home, "tiny")] == [first.id, again.id]


def test_unreleased_candidate_is_refused(home: Home, recipe: Recipe) -> None:
    candidate = passed(home, recipe, "one")
    with pytest.raises(Refused, match="never released"):
        start(home, "tiny", candidate.key, by="ada")
    assert open_rollout(home, "tiny") is None


def test_second_canary_of_a_model_is_refused(home: Home, recipe: Recipe) -> None:
    first = canary(home, recipe)
    with pytest.raises(Refused, match=f"{first.challenger} is in its canary"):
        canary(home, recipe, "two")


def test_release_whose_gate_was_withdrawn_is_refused(home: Home, recipe: Recipe) -> None:
    candidate, body = attempt(home, recipe, "one")
    issue_receipt(home, body)
    release(home, "tiny", candidate.key)
    issue_receipt(home, {**body, "verdict": "fail"})
    with pytest.raises(Refused, match="fail"):
        start(home, "tiny", candidate.key, by="ada")


def test_adapter_changed_after_its_release_is_refused(home: Home, recipe: Recipe) -> None:
    candidate = passed(home, recipe, "one")
    made = release(home, "tiny", candidate.key)
    folder = home.artifacts.path("adapters", made.adapter_digest)
    (folder / "adapter_model.safetensors").write_text("evil")
    with pytest.raises(Refused, match="changed after it was written"):
        start(home, "tiny", candidate.key, by="ada")


def test_rolled_back_candidate_may_try_again_with_a_new_salt(home: Home, recipe: Recipe) -> None:
    first = canary(home, recipe)
    rollback(home, "tiny", None, "ada", "wrong day")
    second = start(home, "tiny", first.candidate, by="ada")
    assert second.id != first.id
    assert second.salt != first.salt


def test_champion_is_not_its_own_challenger(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, recipe)
    rollback(home, "tiny", rollout.challenger, "ada", "straight to it")
    with pytest.raises(Refused, match="champion already"):
        start(home, "tiny", rollout.candidate, by="ada")


def test_two_at_once_start_one(home: Home, recipe: Recipe) -> None:
    keys = [passed(home, recipe, name).key for name in ("one", "two")]
    for key in keys:
        release(home, "tiny", key)
    barrier = threading.Barrier(2)

    def begin(key: str) -> bool:
        barrier.wait()
        try:
            start(Home(home.root), "tiny", key, by="ada")
        except FtAssetsError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(begin, keys)) == [False, True]
    assert len(entries(home, "tiny")) == 1
    assert open_rollout(home, "tiny") is not None
