"""`ft-assets doctor`: what the machine should provide, and how to mend what is missing."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from ft_assets.errors import FtAssetsError
from ft_assets.recipe import Recipe
from ft_assets.storage.database import HEAD
from ft_assets.storage.home import Home
from ft_assets.storage.records import find_record

_PACKAGES = {
    "train": ("torch", "transformers", "peft", "accelerate"),
    "serve": ("bentoml",),
    "monitor": ("evidently",),
}
_ROOM = 3 * 2**30


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `advice` is empty when all is well."""

    what: str
    state: Literal["ok", "warning", "broken"]
    detail: str
    advice: str = ""


def examine(home: Home, recipes: Sequence[Recipe]) -> list[Finding]:
    """Look at packages, disk, database, secret, and each recipe's base."""
    return [*_packages(), *_state(home), *(_base(home, recipe) for recipe in recipes)]


def _packages() -> Iterator[Finding]:
    for extra, names in _PACKAGES.items():
        missing = [name for name in names if find_spec(name) is None]
        if missing:
            advice = f"pip install 'ft-assets[{extra}]'"
            yield Finding(f"packages for {extra}", "broken", f"missing: {', '.join(missing)}", advice)
        else:
            yield Finding(f"packages for {extra}", "ok", ", ".join(names))


def _state(home: Home) -> Iterator[Finding]:
    try:
        free = shutil.disk_usage(home.scratch).free
        home.key("doctor")
        _ = home.database
    except FtAssetsError as error:
        yield Finding("home", "broken", str(error), "set FT_ASSETS_HOME to a writable folder")
        return
    room = f"{home.root}, {free / 2**30:.0f} GiB free"
    advice = "free at least 3 GiB: a base, its adapters and checkpoints need them"
    yield Finding("home", "ok", room) if free > _ROOM else Finding("home", "warning", room, advice)
    yield Finding("operational database", "ok", f"{home.database.engine.dialect.name}, schema {HEAD}")


def _base(home: Home, recipe: Recipe) -> Finding:
    base, what = recipe.base, f"base of {recipe.model}"
    if find_record(home, "base_models", base.name):
        return Finding(what, "ok", f"{base.name}, prepared")
    if base.tiny or (base.package and find_spec(base.package)):
        return Finding(what, "ok", f"{base.name}, to be made on first use")
    if base.hub:
        return Finding(what, "warning", f"{base.name} must come from the hub", "connect, or set base.package")
    return Finding(what, "broken", f"{base.name} has no source", "set base.hub or base.package in the recipe")
