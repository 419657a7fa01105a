"""A batch after cleaning: rows worth training on, and the rejected ones with their reasons."""

import dagster as dg
import pyarrow.parquet as pq

from ft_assets.curation.curate import Curated, curate
from ft_assets.curation.earlier import earlier_rows
from ft_assets.curation.report import counts_table, samples_table, write_curated
from ft_assets.recipe import Recipe
from ft_assets.storage.assets import (
    WHEN_READY,
    HomeResource,
    asset_settings,
    batch_partitions,
    hand_over,
    plain_failures,
    upstream,
)


def build_assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """`curated_batch`."""

    @dg.asset(
        **asset_settings(recipe, "curated_batch", "curation", deps=["raw_batch"]),
        partitions_def=batch_partitions(recipe.model),
        automation_condition=WHEN_READY,
        description="Normalised, redacted, filtered, and without copies of its own or earlier rows. "
        "Every rejected row is kept with its reason.",
    )
    def curated_batch(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        with plain_failures():
            opened = home.open()
            _, folder = upstream(context, opened, "raw_batch")
            earlier = earlier_rows(opened, recipe, context.partition_key)
            raw = pq.read_table(folder / "rows.parquet")
            curated = curate(raw, context.partition_key, recipe.curation, earlier)
            digest = opened.artifacts.write("datasets", lambda draft: write_curated(curated, draft))
            metadata = {**_describe(curated), "earlier rows compared with": earlier.num_rows}
            return hand_over(context, opened, "datasets", digest, metadata)

    return [curated_batch]


def _describe(curated: Curated) -> dict[str, dg.MetadataValue | int]:
    # Raw text is never shown: metadata stays in the event log, where no erasure reaches it.
    return {
        "dagster/row_count": curated.rows.num_rows,
        "raw rows": curated.rows.num_rows + curated.rejected.num_rows,
        "rejected rows": curated.rejected.num_rows,
        "reasons": dg.MetadataValue.md(counts_table("reason", curated.reasons)),
        "redactions": dg.MetadataValue.md(counts_table("type", curated.redactions)),
        "kept samples": dg.MetadataValue.md(samples_table(curated.rows)),
        "rejected samples": dg.MetadataValue.md(samples_table(curated.rejected)),
    }
