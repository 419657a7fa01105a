"""The release in the asset graph."""

import dagster as dg

from ft_assets.recipe import Recipe
from ft_assets.registry.card import card, write_card
from ft_assets.registry.releases import release
from ft_assets.storage.assets import (
    WHEN_READY,
    HomeResource,
    asset_settings,
    candidate_partitions,
    hand_over,
    plain_failures,
)
from ft_assets.storage.candidates import get_candidate


def build_assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """`release` of one model.

    A failed blocking check keeps automation away from it; a person who materializes it all the same meets
    the same refusal here, as it reads the receipt and the bytes itself.
    """

    @dg.asset(
        **asset_settings(recipe, "release", "registry", deps=["eval_report"]),
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=WHEN_READY,
        description="An adapter that may serve: its signed gate receipt passes and matches the bytes at hand. "
        "With its model card and everything behind it.",
    )
    def release_(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        opened = home.open()
        with plain_failures():
            made = release(opened, recipe.model, context.partition_key)
            candidate = get_candidate(opened, recipe.model, context.partition_key)
            digest = opened.artifacts.write("reports", lambda folder: write_card(folder, made, candidate))
            shown = {
                "address": made.address,
                "receipt": made.receipt,
                "lineage": made.lineage,
                "card": dg.MetadataValue.md(card(made, candidate)),
            }
            return hand_over(context, opened, "reports", digest, shown)

    return [release_]
