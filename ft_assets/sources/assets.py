"""The first asset of a batch: its rows as they arrived."""

from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq

from ft_assets.recipe import Recipe
from ft_assets.sources.batch_files import read_shapes
from ft_assets.sources.batches import batch_folder, find_batch
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
        description="Rows as they arrived, before any cleaning, and those that could not be read, with reasons. "
        "The bytes are checked against the batch's digest.",
    )
    def raw_batch(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        with plain_failures():
            opened = home.open()
            batch = find_batch(opened, recipe.model, context.partition_key)
            folder = batch_folder(opened, recipe.model, context.partition_key)
            metadata = {
                "origin": batch["origin"],
                "opened at": dg.MetadataValue.timestamp(batch["opened_at"]),
                **_describe(folder),
            }
            return hand_over(context, opened, "batches", batch["digest"], metadata)

    return [raw_batch]


def _describe(folder: Path) -> dict[str, Any]:
    # Counts only: metadata stays in the event log, where no retention reaches raw text.
    slices, reasons = (
        _count(folder / "rows.parquet", "slice"),
        _count(folder / "unreadable.parquet", "reason"),
    )
    return {
        "dagster/row_count": slices.total(),
        "unreadable rows": reasons.total(),
        "slices": _table("slice", slices),
        "reasons": _table("reason", reasons),
        "shapes": _table("shape", Counter(read_shapes(folder))),
    }


def _count(path: Path, column: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for batch in pq.ParquetFile(path).iter_batches(columns=[column]):
        counts.update(batch.column(0).to_pylist())
    return counts


def _table(name: str, counts: Counter[str]) -> dg.MetadataValue:
    shown = ((" ".join(value.replace("|", "/").split()), rows) for value, rows in counts.most_common(50))
    lines = [f"| {value} | {rows} |" for value, rows in shown]
    return dg.MetadataValue.md("\n".join([f"| {name} | rows |", "|---|---:|", *lines]))
