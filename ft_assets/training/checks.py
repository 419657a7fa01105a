"""Checks on adapters. None blocks: whether a model is better is for the gate to say, on rows held out for it."""

import json

import dagster as dg

from ft_assets.recipe import Recipe
from ft_assets.storage.assets import HomeResource, candidate_partitions, plain_failures
from ft_assets.storage.records import artifact_of

_FEWEST_CLUSTERS = 8
"""Preference rows, near-copies counted once, under which an interval says little."""


def build_checks(recipe: Recipe) -> list[dg.AssetChecksDefinition]:
    """`learned`: training lowered the validation loss. `prefers`: alignment raised the preference margin."""

    @dg.asset_check(
        asset=dg.AssetKey([recipe.model, "adapter"]),
        name="learned",
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=None,
        description="The best validation loss is below the one before training. A warning: the gate decides.",
    )
    def learned(context: dg.AssetCheckExecutionContext, home: HomeResource) -> dg.AssetCheckResult:
        with plain_failures():
            _, folder = artifact_of(home.open(), recipe.model, "adapter", context.partition_key)
        facts = json.loads((folder / "training.json").read_text())
        curve = facts["validation_loss"]
        if not curve:
            return _result(False, "the validation split has no row, so there is no telling", {})
        before, best = curve[0][1], min(loss for _, loss in curve)
        figures = {
            "before": before,
            "best": best,
            "best_step": facts["best_step"],
            "stopped": facts["stopped"],
        }
        said = f"validation loss {before:.4f} before training, {best:.4f} at step {facts['best_step']}"
        return _result(best < before, said, figures)

    return [learned] if recipe.alignment is None else [learned, _prefers(recipe)]


def _prefers(recipe: Recipe) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=dg.AssetKey([recipe.model, "aligned_adapter"]),
        name="prefers",
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=None,
        description="On validation rows, the better answer gained on the worse one over the SFT adapter: the whole "
        "95 % interval lies above zero. A warning: the gate decides.",
    )
    def prefers(context: dg.AssetCheckExecutionContext, home: HomeResource) -> dg.AssetCheckResult:
        with plain_failures():
            _, folder = artifact_of(home.open(), recipe.model, "aligned_adapter", context.partition_key)
        facts = json.loads((folder / "training.json").read_text())
        figures = facts["validation"]
        rise, clusters = figures["rise"], figures["clusters"]
        metadata = {"figures": dg.MetadataValue.json(figures)}
        if clusters < _FEWEST_CLUSTERS:
            said = f"{clusters} unlike preference rows in the validation split; it takes {_FEWEST_CLUSTERS} to tell"
            return _result(False, said, metadata)
        unit = "nats a token" if facts["settings"]["method"] == "orpo" else "nats an answer"
        said = f"margin rose by {rise['mean']:.3f} ({rise['low']:.3f} to {rise['high']:.3f}) {unit}"
        return _result(rise["low"] > 0, said, metadata)

    return prefers


def _result(passed: bool, description: str, metadata: dict) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(passed=passed, severity=severity, description=description, metadata=metadata)
