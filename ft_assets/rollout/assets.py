"""The rollout in the asset graph: the start of a canary, and the report of its end."""

import json
from pathlib import Path

import dagster as dg

from ft_assets.recipe import Recipe
from ft_assets.rollout.report import canary_report, to_markdown, write_report
from ft_assets.rollout.rollout import Rollout
from ft_assets.rollout.start import start
from ft_assets.storage.assets import (
    WHEN_READY,
    HomeResource,
    asset_settings,
    candidate_partitions,
    hand_over,
    plain_failures,
)


def build_assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """`deployment` and `canary_report` of one model."""
    return [_deployment(recipe), _canary_report(recipe)]


def _deployment(recipe: Recipe) -> dg.AssetsDefinition:
    @dg.asset(
        **asset_settings(recipe, "deployment", "rollout", deps=["release"]),
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=WHEN_READY,
        description="The canary, started: a released adapter, its proof checked again, gets its first share of "
        "users. Materializing it again lets a held canary go on.",
    )
    def deployment(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        opened = home.open()
        with plain_failures():
            rollout = start(opened, recipe.model, context.partition_key, by=recipe.owner)
            digest = opened.artifacts.write("reports", lambda folder: _write_start(folder, rollout))
            started = {
                name: getattr(rollout, name) for name in ("id", "challenger", "control", "state", "weight")
            }
            return hand_over(
                context, opened, "reports", digest, {**started, "plan": rollout.plan.model_dump()}
            )

    return deployment


def _canary_report(recipe: Recipe) -> dg.AssetsDefinition:
    @dg.asset(
        **asset_settings(recipe, "canary_report", "rollout", deps=["deployment"]),
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=None,
        description="How the canary ended: promoted or rolled back, on which traffic, by whom and why. The "
        "canary sensor asks for it when the rollout has ended.",
    )
    def canary_report_(context: dg.AssetExecutionContext, home: HomeResource) -> dg.MaterializeResult:
        opened = home.open()
        with plain_failures():
            report = canary_report(opened, recipe.model, context.partition_key)
            digest = opened.artifacts.write("reports", lambda folder: write_report(folder, report))
            shown = {
                "state": report["state"],
                "verdict": report["verdict"],
                "requests": report["requests"],
                "report": dg.MetadataValue.md(to_markdown(report)),
            }
            return hand_over(context, opened, "reports", digest, shown)

    return canary_report_


def _write_start(folder: Path, rollout: Rollout) -> None:
    """`rollout.json`: what was started; where it got to is the report's business."""
    body = {name: getattr(rollout, name) for name in ("id", "candidate", "challenger", "control")}
    body |= {"plan": rollout.plan.model_dump(mode="json"), "started_at": rollout.started_at.isoformat()}
    (folder / "rollout.json").write_text(json.dumps(body, indent=2, sort_keys=True))
