"""The recipe refuses what it does not know, and its reference page is never out of date."""

import hashlib
import json
from pathlib import Path
from typing import Any

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
        {"training": {"method": "loraa"}},
        {"training": {"target_modules": []}},
        {"sources": []},
        {"model": "Has Spaces"},
    ],
)
def test_a_recipe_that_cannot_work_is_refused(recipe: Recipe, change: dict) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(recipe.model_dump() | change)


def changed(recipe: Recipe, **sections: object) -> Recipe:
    return Recipe.model_validate(recipe.model_dump() | sections)


def test_the_digest_follows_the_meaning(recipe: Recipe) -> None:
    same = Recipe.model_validate(recipe.model_dump())
    other = recipe.model_copy(update={"training": recipe.training.model_copy(update={"seed": 1})})
    assert same.digest() == recipe.digest() != other.digest()


def test_the_digest_does_not_know_of_settings_that_are_null(recipe: Recipe) -> None:
    """At any depth: so a setting that comes later, and starts as null, changes no older recipe."""
    said = json.loads(recipe.model_dump_json())
    assert said["training"]["target_modules"] is None and said["cost"] is None

    def without_nulls(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_nulls(each) for key, each in value.items() if each is not None}
        return [*map(without_nulls, value)] if isinstance(value, list) else value

    text = json.dumps(without_nulls(said), separators=(",", ":"), ensure_ascii=False)
    assert recipe.digest() == hashlib.sha256(text.encode()).hexdigest()


def test_null_in_place_of_a_value_is_another_recipe(recipe: Recipe) -> None:
    hub, none = (changed(recipe, base={"name": "b", "package": None, "hub": hub}) for hub in ("a/b", None))
    few, all_of_them = (changed(recipe, training={"target_modules": each}) for each in (["q_proj"], None))
    assert len({each.digest() for each in (hub, none, few, all_of_them)}) == 4


def test_the_order_of_target_modules_means_nothing(recipe: Recipe) -> None:
    lists = (["v_proj", "q_proj"], ["q_proj", "v_proj", "q_proj"])
    one, other = (changed(recipe, training={"target_modules": each}) for each in lists)
    assert one.digest() == other.digest() and one.training.target_modules == ["q_proj", "v_proj"]


def test_a_base_whose_licence_is_not_allowed_is_refused(recipe: Recipe) -> None:
    base = recipe.base.model_dump() | {"license": "Llama-3.2", "allowed_licenses": ["MIT", "Apache-2.0"]}
    with pytest.raises(
        ValidationError, match=r"tiny-random comes under Llama-3\.2, and .* has MIT, Apache-2\.0"
    ):
        changed(recipe, base=base)
    assert changed(recipe, base=base | {"license": "MIT"}).base.license == "MIT"
    with pytest.raises(ValidationError, match="has none"):
        changed(recipe, base=base | {"allowed_licenses": []})


@pytest.mark.parametrize(
    "sections",
    [
        {"training": {"method": "qlora"}},
        {"search": {"space": {"method": ["lora", "qlora"]}}},
    ],
)
def test_a_quantized_base_is_not_shared_out(recipe: Recipe, sections: dict) -> None:
    scale = {"processes": 2, "strategy": "fsdp"}
    with pytest.raises(ValidationError, match=r"scale\.strategy: fsdp`; write `ddp`, or another method"):
        changed(recipe, scale=scale, **sections)
    assert changed(recipe, scale=scale | {"strategy": "ddp"}, **sections).scale is not None
