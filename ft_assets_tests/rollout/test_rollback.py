"""A person ends a canary by one command, and the champion stays."""

import pytest

from ft_assets.recipe import Recipe
from ft_assets.registry.history import at
from ft_assets.registry.ledger import champion, entries
from ft_assets.registry.rollback import rollback
from ft_assets.registry.routing import route
from ft_assets.rollout.rollout import open_rollout, rollouts_of
from ft_assets.storage.home import Home
from ft_assets.storage.releases import find_release
from ft_assets_tests.rollout.traffic import canary


def test_rollback_during_a_canary_ends_the_canary_only(home: Home, recipe: Recipe) -> None:
    first = canary(home, recipe)
    rollback(home, "tiny", first.challenger, "ada", "a head start")
    second = canary(home, recipe, "two")
    done = rollback(home, "tiny", None, "ada", "answers in French")
    assert (done.left, done.ended, done.champion) == (second.challenger, second.challenger, first.challenger)
    assert open_rollout(home, "tiny") is None
    assert rollouts_of(home, "tiny", second.candidate)[-1].state == "rolled_back"
    assert champion(home, "tiny") == first.challenger
    assert at(home, "tiny").challenger is None
    assert entries(home, "tiny")[-1].details["rollout"] == second.id


def test_rollback_to_a_named_release_ends_the_canary_too(home: Home, recipe: Recipe) -> None:
    first = canary(home, recipe)
    rollback(home, "tiny", first.challenger, "ada", "a head start")
    second = canary(home, recipe, "two")
    done = rollback(home, "tiny", "base", "ada", "stop everything")
    assert (done.left, done.ended, done.champion) == (first.challenger, second.challenger, "base")
    assert route(home, "tiny").challenger is None
    assert route(home, "tiny").champion.address == "base"


@pytest.mark.parametrize("share", ["adapter of the challenger", "adapter of the champion"])
def test_canary_can_be_ended_whatever_happened_to_the_bytes(home: Home, recipe: Recipe, share: str) -> None:
    first = canary(home, recipe)
    rollback(home, "tiny", first.challenger, "ada", "a head start")
    second = canary(home, recipe, "two")
    spoilt = second if "challenger" in share else first
    digest = find_release(home, spoilt.challenger).adapter_digest
    (home.artifacts.path("adapters", digest) / "adapter_model.safetensors").write_text("evil")
    assert rollback(home, "tiny", None, "ada", "stop").champion == first.challenger
