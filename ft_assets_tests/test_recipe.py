"""The recipe refuses what it does not know, and its reference page is never out of date."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from ft_assets.errors import WrongInput
from ft_assets.recipe import Recipe, load_recipe, load_recipes
from ft_assets.recipe_reference import reference

ROOT = Path(__file__).parents[1]


def test_the_reference_page_says_what_the_recipe_says() -> None:
    assert (ROOT / "docs" / "recipe.md").read_text().rstrip() == reference(), "run `make docs`"


def test_every_setting_has_a_description() -> None:
    assert "|  |" not in reference()


def test_every_shipped_recipe_loads() -> None:
    assert "docstrings" in {recipe.model for recipe in load_recipes()}


def test_an_unknown_model_is_told_with_the_known_ones() -> None:
    with pytest.raises(WrongInput, match="docstrings"):
        load_recipe("nonesuch")


@pytest.mark.parametrize(
    "change",
    [
        {"splitting": {"validation": 0.5, "eval": 0.5}},
        {"rollout": {"steps": [0.5, 0.25]}},
        {"rollout": {"steps": [0.5, 1.0]}},
        {"training": {"rnak": 8}},
        {"sources": []},
        {"model": "Has Spaces"},
    ],
)
def test_a_recipe_that_cannot_work_is_refused(recipe: Recipe, change: dict) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(recipe.model_dump() | change)


def test_the_digest_follows_the_meaning(recipe: Recipe) -> None:
    same = Recipe.model_validate(recipe.model_dump())
    other = recipe.model_copy(update={"training": recipe.training.model_copy(update={"seed": 1})})
    assert same.digest() == recipe.digest() != other.digest()
