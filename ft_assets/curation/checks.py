"""Blocks what comes after a batch of which too little is left."""

import dagster as dg

from ft_assets.curation.summary import Summary
from ft_assets.recipe import Recipe
from ft_assets.storage.assets import HomeResource, batch_partitions, plain_failures
from ft_assets.storage.records import artifact_of


def build_checks(recipe: Recipe) -> list[dg.AssetChecksDefinition]:
    """`enough_rows` on `curated_batch`."""

    @dg.asset_check(
        asset=dg.AssetKey([recipe.model, "curated_batch"]),
        name="enough_rows",
        description="At least one row of the batch was kept, and no larger share was rejected than "
        "`curation.max_reject_share` allows.",
        blocking=True,
        partitions_def=batch_partitions(recipe.model),
        automation_condition=None,
    )
    def enough_rows(context: dg.AssetCheckExecutionContext, home: HomeResource) -> dg.AssetCheckResult:
        with plain_failures():
            _, folder = artifact_of(home.open(), recipe.model, "curated_batch", context.partition_key)
        summary = Summary.model_validate_json((folder / "summary.json").read_text())
        limit = recipe.curation.max_reject_share
        passed = summary.curated > 0 and summary.reject_share <= limit
        words = f"{summary.curated} of {summary.rows_in} rows kept"
        if not passed:
            reasons = ", ".join(f"{count} {reason}" for reason, count in summary.rejected.items())
            wanted = f"`curation.max_reject_share` allows {limit:.0%}" if summary.curated else "none is left"
            words = (
                f"{summary.reject_share:.1%} of {summary.rows_in} rows were rejected ({reasons}), and {wanted}; "
                f"each is in {folder / 'rejected.parquet'} with its reason"
            )
        metadata = {"kept": summary.curated, "raw": summary.rows_in, "reject share": summary.reject_share}
        return dg.AssetCheckResult(passed=passed, description=words, metadata=metadata)

    return [enough_rows]
