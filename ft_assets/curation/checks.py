"""Blocks what comes after a batch of which nothing is left."""

import json

import dagster as dg

from ft_assets.recipe import Recipe
from ft_assets.storage.assets import HomeResource, batch_partitions, plain_failures
from ft_assets.storage.records import artifact_of


def build_checks(recipe: Recipe) -> list[dg.AssetChecksDefinition]:
    """`has_rows` on `curated_batch`."""

    @dg.asset_check(
        asset=dg.AssetKey([recipe.model, "curated_batch"]),
        name="has_rows",
        description="At least one row of the batch was kept.",
        blocking=True,
        partitions_def=batch_partitions(recipe.model),
        automation_condition=None,
    )
    def has_rows(context: dg.AssetCheckExecutionContext, home: HomeResource) -> dg.AssetCheckResult:
        with plain_failures():
            _, folder = artifact_of(home.open(), recipe.model, "curated_batch", context.partition_key)
        summary = json.loads((folder / "summary.json").read_text())
        words = f"{summary['kept']} of {summary['raw']} rows kept"
        if not summary["kept"]:
            reasons = ", ".join(f"{count} {reason}" for reason, count in summary["reasons"].items())
            words = f"all {summary['raw']} rows were rejected ({reasons}); each is in {folder / 'rejected.parquet'}"
        return dg.AssetCheckResult(passed=summary["kept"] > 0, description=words, metadata=summary)

    return [has_rows]
