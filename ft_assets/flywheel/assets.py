"""`retrain_decision`: is new data worth a new candidate? And the requests and answers that feed the question."""

import json
from typing import Any

import dagster as dg

from ft_assets.flywheel.decision import Decision, decide_retrain
from ft_assets.recipe import Recipe
from ft_assets.storage.assets import HomeResource, asset_settings, hand_over, plain_failures


def build_assets(recipe: Recipe) -> list[dg.AssetsDefinition | dg.AssetSpec]:
    """The retrain decision of one model, and its production interactions as an external asset."""
    model = recipe.model
    every_batch = dg.AssetDep(
        dg.AssetKey([model, "curated_batch"]), partition_mapping=dg.AllPartitionMapping()
    )

    # No automation condition: the retrain sensor asks for it when there is something to decide.
    @dg.asset(
        **asset_settings(recipe, "retrain_decision", "flywheel", deps=["drift_report", every_batch]),
        description="Whether new data justifies a new candidate, with the reasons. If so, it opens the candidate.",
    )
    def retrain_decision(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        opened = home.open()
        with plain_failures():
            decision = decide_retrain(opened, recipe)
            text = json.dumps(vars(decision), indent=1)
            digest = opened.artifacts.write(
                "reports", lambda folder: (folder / "decision.json").write_text(text)
            )
            return hand_over(context, opened, "reports", digest, _headline(decision))

    # Any: a type checker cannot see through the settings that are unpacked above.
    assets: list[Any] = [_production_interactions(recipe), retrain_decision]
    return assets


def _production_interactions(recipe: Recipe) -> dg.AssetSpec:
    return dg.AssetSpec(
        key=[recipe.model, "production_interactions"],
        group_name=recipe.model,
        owners=[recipe.owner],
        tags={"stage": "serving"},
        description="Every request and answer of the service, with what users said about it. "
        "The service writes them to the operational database.",
    )


def _headline(decision: Decision) -> dict[str, dg.MetadataValue]:
    return {
        "retrain": dg.MetadataValue.bool(decision.retrain),
        "reasons": dg.MetadataValue.md("\n".join(f"- {reason}" for reason in decision.reasons)),
        "batches": dg.MetadataValue.json(decision.batches),
        "candidate": dg.MetadataValue.text(decision.candidate or "none"),
    }
