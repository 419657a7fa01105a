"""`ft-assets demo`: picks the recipe and the home, tells the story, prints how it ended."""

import json
import os
from pathlib import Path
from typing import Any

from rich.console import Console

from ft_assets.demo.leak import LeakStory, leak_findings, print_leak
from ft_assets.demo.progress import Steps
from ft_assets.demo.story import ROUNDS, Story
from ft_assets.demo.summary import print_summary, write_summary
from ft_assets.errors import Refused, WrongInput
from ft_assets.recipe import Recipe, load_recipe
from ft_assets.storage.home import Home

_TINY: dict[str, dict[str, Any]] = {
    "base": {"name": "tiny-random", "hub": None, "package": None, "tiny": True},
    "training": {"max_steps": 10, "batch_tokens": 2_048, "learning_rate": 1e-2, "validate_every": 5},
    "evaluation": {"max_rows": 16, "max_new_tokens": 8},
    "gate": {"min_rows": 10, "resamples": 500, "margins": {"exact": 0.5, "well_formed": 0.5}},
    "rollout": {"min_requests": 4, "steps": [0.5], "margin": 0.4},
    "retrain": {"min_batch_rows": 24, "min_new_rows": 8},
}


def run_demo(home: Home, tiny: bool, leak: bool, as_json: bool) -> int:
    """Run the demo in `home` (the leak in a home of its own within it) and return the exit code."""
    recipe = demo_recipe(tiny)
    stage = Home(Path(home.root) / "leak") if leak else home
    _claim(stage, recipe)
    os.environ["FT_ASSETS_HOME"] = stage.root
    console = Console(quiet=as_json)
    steps = Steps(
        Console(stderr=True, quiet=as_json), stage.scratch / "training", rounds=1 if leak else ROUNDS
    )
    if leak:
        return _leak(home, LeakStory(stage, recipe, steps), console, as_json)
    summary = Story(stage, recipe, steps).tell()
    print_summary(summary, console)
    console.print(
        f"summary: {stage.scratch / 'demo' / 'summary.json'}    every run, check and plot: make dev"
    )
    if as_json:
        print(json.dumps(summary, indent=2))
    return 0


def demo_recipe(tiny: bool) -> Recipe:
    """The recipe of `docstrings`; for `tiny`, with a random base and a tenth of the work."""
    recipe = load_recipe("docstrings")
    if not tiny:
        return recipe
    settings = recipe.model_dump()
    for section, changes in _TINY.items():
        settings[section] |= changes
    settings["sources"][0]["max_rows"] = 320
    return Recipe.model_validate(settings)


def _leak(home: Home, story: LeakStory, console: Console, as_json: bool) -> int:
    summary = story.tell()
    summary["leak"] = leak_findings(story, summary)
    write_summary(home, summary)
    print_leak(summary, console)
    if as_json:
        print(json.dumps(summary, indent=2))
    return Refused.exit_code


def _claim(home: Home, recipe: Recipe) -> None:
    """Refuse a home in which a demo on another base has left its candidates."""
    mark = home.scratch / "demo" / "base"
    mark.parent.mkdir(parents=True, exist_ok=True)
    if mark.exists() and mark.read_text() != recipe.base.name:
        raise WrongInput(
            f"{home.root} holds a demo on the base {mark.read_text()}; "
            f"set FT_ASSETS_HOME to another folder for one on {recipe.base.name}"
        )
    mark.write_text(recipe.base.name)
