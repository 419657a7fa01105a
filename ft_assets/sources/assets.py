"""The first asset of a batch: its rows as they arrived."""

from collections import Counter

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.recipe import Recipe
from ft_assets.sources.batches import find_batch
from ft_assets.storage.assets import (
    WHEN_READY,
    HomeResource,
    asset_settings,
    batch_partitions,
    hand_over,
    plain_failures,
)


def build_assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """`raw_batch`."""

    @dg.asset(
        **asset_settings(recipe, "raw_batch", "sources"),
        partitions_def=batch_partitions(recipe.model),
        automation_condition=WHEN_READY,
        description="Rows as they arrived, before any cleaning. The bytes are checked against the batch's digest.",
    )
    def raw_batch(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        with plain_failures():
            opened = home.open()
            batch = find_batch(opened, recipe.model, context.partition_key)
            table = pq.read_table(opened.artifacts.path("batches", batch["digest"]) / "rows.parquet")
            metadata = {
                "dagster/row_count": table.num_rows,
                "origin": batch["origin"],
                "opened at": dg.MetadataValue.timestamp(batch["opened_at"]),
                "slices": dg.MetadataValue.md(_slices(table)),
            }
            return hand_over(context, opened, "batches", batch["digest"], metadata)

    return [raw_batch]


def _slices(table: pa.Table) -> str:
    counts = Counter(table.column("slice").to_pylist())
    lines = [f"| {name.replace('|', '/')} | {rows} |" for name, rows in counts.most_common()]
    return "\n".join(["| slice | rows |", "|---|---:|", *lines])
