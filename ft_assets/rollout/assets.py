"""The rollout in the asset graph: the start of a canary, and the report of its end."""

import json
from pathlib import Path

import dagster as dg
from pydantic import Field

from ft_assets.errors import WrongInput
from ft_assets.recipe import Recipe
from ft_assets.rollout.decisions import DECISIONS, decide
from ft_assets.rollout.report import canary_report, to_markdown, write_report
from ft_assets.rollout.rollout import Rollout, moved_by
from ft_assets.rollout.start import start
from ft_assets.storage.assets import (
    WHEN_READY,
    HomeResource,
    asset_settings,
    candidate_partitions,
    hand_over,
    plain_failures,
)
from ft_assets.storage.home import Home


class DeploymentConfig(dg.Config):
    """What a person wants of the canary; as in `ft-assets rollout`."""

    decision: str = Field(
        default="start",
        description="`start`: begin the canary, or let a held one go on. Or `approve`, `pause`, `resume`, `abort`.",
    )
    by: str = Field(default="", description="Who decides; needed for all but `start`.")
    reason: str = Field(default="", description="Why, for the ledger; needed for all but `start`.")


def build_assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """`deployment` and `canary_report` of one model."""
    return [_deployment(recipe), _canary_report(recipe)]


def _deployment(recipe: Recipe) -> dg.AssetsDefinition:
    @dg.asset(
        **asset_settings(recipe, "deployment", "rollout", deps=["release"]),
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=WHEN_READY,
        description="The canary, started: a released adapter, its proof checked again, gets its first share of "
        "users. Materializing it again lets a held canary go on; by its config a person "
        "approves, pauses, resumes or aborts it.",
    )
    def deployment(
        context: dg.AssetExecutionContext, config: DeploymentConfig, home: HomeResource
    ) -> dg.MaterializeResult:
        opened = home.open()
        with plain_failures():
            run = context.run.root_run_id or context.run.run_id
            rollout = _moved(opened, recipe, context.partition_key, config, run)
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
                "signals": report["figures"].get("signals", {}),
                "course": report["course"],
                "report": dg.MetadataValue.md(to_markdown(report)),
            }
            return hand_over(context, opened, "reports", digest, shown)

    return canary_report_


def _moved(home: Home, recipe: Recipe, candidate: str, config: DeploymentConfig, run: str) -> Rollout:
    """The candidate's rollout after what the config asks for; a run that is retried or executed again asks once."""
    if (done := moved_by(home, recipe.model, run)) is not None:
        return done
    if config.decision == "start":
        return start(home, recipe.model, candidate, by=recipe.owner, run=run)
    if config.decision not in DECISIONS:
        raise WrongInput(f"decision: {config.decision!r} is none of start, {', '.join(DECISIONS)}")
    return decide(home, recipe.model, config.decision, config.by, config.reason, candidate, run)


def _write_start(folder: Path, rollout: Rollout) -> None:
    """`rollout.json`: what was started; where it got to is the report's business."""
    body = {name: getattr(rollout, name) for name in ("id", "candidate", "challenger", "control")}
    body |= {"plan": rollout.plan.model_dump(mode="json"), "started_at": rollout.started_at.isoformat()}
    (folder / "rollout.json").write_text(json.dumps(body, indent=2, sort_keys=True))
