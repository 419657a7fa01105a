"""From any answer served one can name what stands behind it."""

import pytest

from ft_assets.errors import WrongInput
from ft_assets.recipe import Recipe
from ft_assets.registry.lineage import trace
from ft_assets.storage.home import Home
from ft_assets_tests.rollout.traffic import answer, canary


def test_answer_of_an_adapter_names_everything_behind_it(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, recipe)
    found = trace(home, answer(home, rollout, rollout.challenger))
    assert found["address"] == rollout.challenger
    assert found["rollout"] == rollout.id
    assert found["adapter"].startswith(rollout.challenger.split("@")[1])
    assert found["base"]["name"] == "tiny-random"
    assert len(found["dataset"]) == 64
    assert found["rows"]["train"] == 8
    assert len(found["splits"]["train"]) == 64
    assert found["recipe"] == recipe.digest()
    assert found["scores"]["candidate"] == {"loss": 2.0}
    assert found["owner"] == "team:tests"
    assert [(made["action"], made["by"]) for made in found["decisions"]] == [("canary", "ada@example.org")]


def test_answer_of_the_base_names_the_base(home: Home, recipe: Recipe) -> None:
    found = trace(home, answer(home, canary(home, recipe), "base"))
    assert found["adapter"] is None
    assert found["base"]["name"] == "tiny-random"
    assert len(found["base"]["digest"]) == 64


def test_unknown_answer_is_wrong_input(home: Home) -> None:
    with pytest.raises(WrongInput, match="no answer nothing"):
        trace(home, "nothing")
