"""The bases that recipes name: one external asset each, however many models are trained on it."""

import dagster as dg

from ft_assets.errors import WrongInput
from ft_assets.recipe import Base, load_recipes
from ft_assets.training.assets import base_spec


@dg.definitions
def base_models() -> dg.Definitions:
    bases: dict[str, Base] = {}
    for recipe in load_recipes():
        if bases.setdefault(recipe.base.name, recipe.base) != recipe.base:
            raise WrongInput(
                f"the recipe of {recipe.model} says something else of base {recipe.base.name} than another recipe; "
                "give one of them another base.name"
            )
    return dg.Definitions(assets=[base_spec(base) for base in bases.values()])
