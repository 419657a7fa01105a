"""The canary's clock: looks at live evidence, moves the rollout, and asks for the report of its end."""

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from ft_assets.recipe import Recipe
from ft_assets.rollout.controller import step
from ft_assets.rollout.report import reports_due
from ft_assets.rollout.rollout import Rollout
from ft_assets.storage.assets import HomeResource

_PARTITION_TAG = "dagster/partition"


def build_sensors(recipe: Recipe) -> list[dg.SensorDefinition]:
    """The canary sensor of one model."""
    report = dg.AssetKey([recipe.model, "canary_report"])

    @dg.sensor(
        name=f"{recipe.model}_canary_sensor",
        target=dg.AssetSelection.assets(report),
        # A bad challenger must leave traffic within seconds, so this looks more often than other sensors.
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Moves the running canary up, holds it, promotes it or rolls it back, by live evidence; "
        "asks for the canary report when it has ended.",
    )
    def canary_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SensorResult:
        opened = home.open()
        verdict = step(opened, recipe.model)
        requests = [
            dg.RunRequest(partition_key=rollout.candidate, asset_selection=[report])
            for rollout in reports_due(opened, recipe.model)
            if not _was_asked_for(context, report, rollout)
        ]
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else verdict.reason if verdict else "no canary is running",
        )

    return [canary_sensor]


def _was_asked_for(context: dg.SensorEvaluationContext, report: dg.AssetKey, rollout: Rollout) -> bool:
    """Whether a run since the rollout's end makes this report, or failed to: a failure waits for a person."""
    asked = RunsFilter(tags={_PARTITION_TAG: rollout.candidate}, created_after=rollout.updated_at)
    return any(
        report in (run.asset_selection or ())
        for run in context.instance.get_runs(asked)
        if run.status != DagsterRunStatus.CANCELED
    )
