"""A batch after cleaning: rows worth training on, and the rejected ones with their reasons."""

from pathlib import Path
from typing import Any

import dagster as dg

from ft_assets.curation.card import counts_table, draw_lengths
from ft_assets.curation.curate import curate
from ft_assets.curation.earlier import earlier_signatures
from ft_assets.curation.summary import Summary
from ft_assets.curation.tokens import tokenizer_of
from ft_assets.recipe import Recipe
from ft_assets.sources.batches import batch_folder
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
            opened, key = home.open(), context.partition_key
            raw = batch_folder(opened, recipe.model, key)
            upstream(context, opened, "raw_batch")  # refuses where the rows were never looked at
            tokenizer = tokenizer_of(opened, recipe)
            with earlier_signatures(opened, recipe, key, tokenizer) as earlier:
                digest = opened.artifacts.write(
                    "datasets", lambda draft: curate(raw, draft, key, recipe.curation, earlier, tokenizer)
                )
            metadata = {
                **_describe(opened.artifacts.path("datasets", digest)),
                "batches before": len(earlier),
            }
            return hand_over(context, opened, "datasets", digest, metadata)

    return [curated_batch]


def _describe(folder: Path) -> dict[str, Any]:
    # Raw text is never shown: metadata stays in the event log, where no erasure reaches it.
    summary = Summary.model_validate_json((folder / "summary.json").read_text())
    return {
        "dagster/row_count": summary.curated,
        "raw rows": summary.rows_in,
        "rejected rows": summary.rows_in - summary.curated,
        "reasons": dg.MetadataValue.md(counts_table(summary.rejected)),
        "redactions": dg.MetadataValue.md(counts_table(summary.pii)),
        "card": dg.MetadataValue.md((folder / "card.md").read_text()),
        "lengths": dg.MetadataValue.md(f"![lengths](data:image/png;base64,{draw_lengths(summary)})"),
    }
