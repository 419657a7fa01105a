"""A candidate is found by each of its names, and a name that is none says which there are."""

import pytest

from ft_assets.errors import WrongInput
from ft_assets.recipe import Recipe
from ft_assets.registry.names import candidate_named, release_named
from ft_assets.registry.releases import release
from ft_assets.rollout.start import start
from ft_assets.storage.home import Home
from ft_assets_tests.registry.attempts import attempt, passed
from ft_assets_tests.registry.test_rollback import back, promoted


def test_the_champion_is_whoever_serves_at_the_moment(home: Home, recipe: Recipe) -> None:
    one, two = promoted(home, recipe, "one", "two")
    assert release_named(home, "tiny@champion") == two
    back(home)
    assert release_named(home, "tiny@champion") == one
    back(home)
    with pytest.raises(WrongInput, match="no champion: the base serves"):
        release_named(home, "tiny@champion")


def test_the_challenger_is_whoever_is_on_trial(home: Home, recipe: Recipe) -> None:
    (champion,) = promoted(home, recipe, "one")
    with pytest.raises(WrongInput, match="no challenger: no rollout is running"):
        release_named(home, "tiny@challenger")
    challenger = release(home, recipe.model, passed(home, recipe, "two", champion.address).key)
    start(home, recipe.model, challenger.candidate, "ada")
    assert release_named(home, "tiny@challenger") == challenger
    assert release_named(home, "tiny@champion") == champion


def test_a_candidate_without_a_release_has_a_name_but_nothing_to_take_away(
    home: Home, recipe: Recipe
) -> None:
    candidate, _ = attempt(home, recipe, "one")
    assert candidate_named(home, f"tiny@{candidate.key}") == (candidate, None)
    with pytest.raises(WrongInput, match="never released"):
        release_named(home, f"tiny@{candidate.key}")


@pytest.mark.parametrize("name", ["tiny", "tiny@", "tiny@nothing", "@champion", "other@champion", "champion"])
def test_a_name_that_is_none_is_wrong_input(home: Home, recipe: Recipe, name: str) -> None:
    promoted(home, recipe, "one")
    with pytest.raises(WrongInput):
        candidate_named(home, name)
