"""The Dagster component that turns one recipe into the asset graph of one model."""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import dagster as dg

from ft_assets.recipe import Recipe

_STAGES = (
    "sources",
    "curation",
    "splitting",
    "training",
    "evaluation",
    "registry",
    "rollout",
    "flywheel",
    "monitoring",
)


@dataclass
class FineTunedModel(dg.Component):
    """One fine-tuned model: its data, candidates, gate, rollout and feedback, from a recipe.

    Dagster resolves the YAML straight into `Recipe`, so a misspelt key is reported by `dg check yaml` with
    file, line and column.
    """

    recipe: Recipe

    @classmethod
    def get_model_cls(cls) -> type[Recipe]:
        return Recipe

    @classmethod
    def load(cls, attributes: Recipe, context: dg.ComponentLoadContext) -> "FineTunedModel":
        return cls(attributes)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        return model_definitions(self.recipe)


def model_definitions(recipe: Recipe) -> dg.Definitions:
    """Everything of one model that Dagster shows and runs; resources come from `defs/shared`."""
    return dg.Definitions(
        assets=_collect(recipe, "assets"),
        asset_checks=_collect(recipe, "checks"),
        sensors=_collect(recipe, "sensors"),
    )


def _collect(recipe: Recipe, layer: str) -> list:
    """What `build_<layer>` of each stage makes for this recipe; a stage need not have every layer."""
    return [item for module in _modules(layer) for item in getattr(module, f"build_{layer}")(recipe)]


def _modules(layer: str) -> list[ModuleType]:
    names = [f"ft_assets.{stage}.{layer}" for stage in _STAGES]
    return [import_module(name) for name in names if find_spec(name)]
