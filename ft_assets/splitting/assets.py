"""Dataset and splits: what a candidate is trained on, and what it is judged with."""

from collections import Counter
from typing import Any

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ft_assets.curation.card import cell, draw_lengths
from ft_assets.recipe import Recipe
from ft_assets.splitting.canaries import canaries_of, plant
from ft_assets.splitting.dataset import Dataset, make_dataset, read_dataset, take_side
from ft_assets.splitting.retirement import fit_to_judge
from ft_assets.splitting.sides import SIDES
from ft_assets.storage.assets import (
    READY,
    WHEN_READY,
    HomeResource,
    asset_settings,
    candidate_partitions,
    hand_over,
    plain_failures,
    upstream,
)
from ft_assets.storage.candidates import get_candidate

_SAMPLES = 5
_SPLITS = {
    "train": "Rows that the adapter learns from.",
    "validation": "Rows whose loss says when to stop training; no weight is fitted to them.",
    "eval": "Rows that only judge: nothing that any candidate trained on, nor a copy of it.",
}


def build_assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """`dataset`, `train_split`, `validation_split` and `eval_split`, one partition a candidate."""
    return [_dataset(recipe), *(_split(recipe, side, words) for side, words in _SPLITS.items())]


def _dataset(recipe: Recipe) -> dg.AssetsDefinition:
    curated = dg.AssetDep(
        dg.AssetKey([recipe.model, "curated_batch"]), partition_mapping=dg.AllPartitionMapping()
    )

    # READY, not WHEN_READY: a candidate needs the batches that it names, not every batch there is.
    @dg.asset(
        **asset_settings(recipe, "dataset", "splitting", deps=[curated]),
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=READY,
        description="The candidate's curated batches as one snapshot, every row on its permanent side.",
    )
    def dataset(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        opened = home.open()
        with plain_failures():
            made = make_dataset(opened, get_candidate(opened, recipe.model, context.partition_key))
            digest = opened.artifacts.write("datasets", made.write)
            return hand_over(context, opened, "datasets", digest, _describe_dataset(made))

    return dataset


def _split(recipe: Recipe, side: str, words: str) -> dg.AssetsDefinition:
    @dg.asset(
        **asset_settings(recipe, f"{side}_split", "splitting", deps=["dataset"]),
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=WHEN_READY,
        description=words,
    )
    def split(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        opened = home.open()
        with plain_failures():
            rows = take_side(read_dataset(upstream(context, opened, "dataset")[1]), side)
            candidate = get_candidate(opened, recipe.model, context.partition_key)
            if side == "eval":
                rows = fit_to_judge(opened, candidate.recipe.splitting.ledger, rows)
            elif side == "train" and candidate.recipe.honesty is not None:
                count = candidate.recipe.honesty.canaries
                rows = plant(rows, canaries_of(opened, candidate.model, candidate.key, count))
            digest = opened.artifacts.write(
                "datasets", lambda folder: pq.write_table(rows, folder / "rows.parquet")
            )
            return hand_over(context, opened, "datasets", digest, _describe_rows(rows))

    return split


def _describe_dataset(dataset: Dataset) -> dict[str, Any]:
    batches = [f"| {key} | {digest[:12]} |" for key, digest in dataset.batches.items()]
    quarantined = dataset.rows.filter(pc.field("side") == "quarantine")
    return {
        **_describe_rows(dataset.rows),
        "sides": _sides_by_slice(dataset.rows),
        "batches": _table("batch", "digest", rows=batches),
        "quarantined": _samples(quarantined),
        "contradicted rows": dataset.contradicted.num_rows,
        "card": dg.MetadataValue.md(dataset.card()),
        "lengths": dg.MetadataValue.md(f"![lengths](data:image/png;base64,{draw_lengths(dataset.summary)})"),
    }


def _describe_rows(rows: pa.Table) -> dict[str, Any]:
    sizes = Counter(Counter(rows["cluster"].to_pylist()).values())
    slices = Counter(rows["slice"].to_pylist()).most_common()
    return {
        "dagster/row_count": rows.num_rows,
        "clusters": len(set(rows["cluster"].to_pylist())),
        "cluster_sizes": _table(
            "rows a cluster", "clusters", rows=[f"| {n} | {k} |" for n, k in sorted(sizes.items())]
        ),
        "slices": _table("slice", "rows", rows=[f"| {cell(name)} | {n} |" for name, n in slices]),
        "samples": _samples(rows),
    }


def _sides_by_slice(rows: pa.Table) -> dg.MarkdownMetadataValue:
    pairs = Counter(zip(rows["slice"].to_pylist(), rows["side"].to_pylist(), strict=True))
    totals = Counter(rows["side"].to_pylist())
    lines = [("all", totals)] + [
        (name, {side: pairs[name, side] for side in SIDES}) for name in sorted({name for name, _ in pairs})
    ]
    cells = [f"| {cell(name)} | " + " | ".join(str(n[side]) for side in SIDES) + " |" for name, n in lines]
    return _table("slice", *SIDES, rows=cells)


def _samples(rows: pa.Table) -> dg.MarkdownMetadataValue:
    shown = rows.slice(0, _SAMPLES).to_pylist()
    lines = [
        f"| {row['id'][:12]} | {cell(row['slice'])} | {cell(row['messages'][-2]['content'])} | "
        f"{cell(row['messages'][-1]['content'])} |"
        for row in shown
    ]
    return _table("id", "slice", "question", "answer", rows=lines)


def _table(*head: str, rows: list[str]) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md("\n".join([f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *rows]))
