"""`drift_report`: has what users send moved away from what the champion was trained on?"""

from typing import Any

import dagster as dg

from ft_assets.monitoring.drift import Figures, report_drift
from ft_assets.recipe import Recipe
from ft_assets.storage.assets import HomeResource, asset_settings, hand_over, plain_failures


def build_assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The drift report of one model."""
    deps = [_every_partition(recipe.model, name) for name in ("train_split", "curated_batch")]

    # No automation condition: the retrain sensor asks for it together with the decision that reads it.
    @dg.asset(
        **asset_settings(recipe, "drift_report", "monitoring", deps=[*deps, "production_interactions"]),
        kinds={"evidently"},
        description="Evidently's comparison of recent requests with the rows that the champion was trained on.",
    )
    def drift_report(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        opened = home.open()
        with plain_failures():
            digest, figures = report_drift(opened, recipe)
            page = opened.artifacts.path("reports", digest) / "drift.html"
            metadata = {**_headline(figures), "report": dg.MetadataValue.url(page.as_uri())}
            return hand_over(context, opened, "reports", digest, metadata)

    # Any: a type checker cannot see through the settings that are unpacked above.
    assets: list[Any] = [drift_report]
    return assets


def _every_partition(model: str, name: str) -> dg.AssetDep:
    return dg.AssetDep(dg.AssetKey([model, name]), partition_mapping=dg.AllPartitionMapping())


def _headline(figures: Figures) -> dict[str, dg.MetadataValue]:
    lines = ["| column | test | score | threshold | drifted |", "|---|---|---|---|---|"]
    for name, column in figures["columns"].items():
        score, threshold = f"{column['score']:.3g}", f"{column['threshold']:.3g}"
        answer = "**yes**" if column["drifted"] else "no"
        lines.append(f"| {name} | {column['method']} | {score} | {threshold} | {answer} |")
    return {
        "headline": dg.MetadataValue.text(figures["headline"]),
        "drifted": dg.MetadataValue.bool(figures["drifted"]),
        "reference rows": dg.MetadataValue.int(figures["reference_rows"]),
        "current rows": dg.MetadataValue.int(figures["current_rows"]),
        "columns": dg.MetadataValue.md("\n".join(lines)),
    }
