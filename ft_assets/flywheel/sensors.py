"""The sensors that turn the flywheel: feedback to batches, batches to decisions, decisions to candidates.

All three read the operational database and ask for what is missing in Dagster, so a tick that is lost is
made good by the next one.
"""

from collections.abc import Iterable

import dagster as dg

from ft_assets.flywheel.batches import take_feedback
from ft_assets.flywheel.due import decision_due
from ft_assets.recipe import Recipe
from ft_assets.sources.batches import list_batches
from ft_assets.storage.assets import HomeResource, batch_partitions, candidate_partitions
from ft_assets.storage.candidates import list_candidates

_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build_sensors(recipe: Recipe) -> list[dg.SensorDefinition]:
    """The three sensors of one model."""
    return [_feedback_sensor(recipe), _retrain_sensor(recipe), _candidates_sensor(recipe)]


def _feedback_sensor(recipe: Recipe) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{recipe.model}_feedback_sensor",
        target=dg.AssetSelection.assets([recipe.model, "raw_batch"]),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Opens a batch of users' corrections as soon as there are enough of them.",
    )
    def feedback_sensor(
        context: dg.SensorEvaluationContext, home: HomeResource
    ) -> dg.SensorResult | dg.SkipReason:
        opened = home.open()
        took = take_feedback(opened, recipe)
        keys = [batch["key"] for batch in list_batches(opened, recipe.model)]
        nothing = f"fewer than {recipe.retrain.min_batch_rows} corrected answers are open"
        return _add(context, batch_partitions(recipe.model), keys, took or nothing)

    return feedback_sensor


def _retrain_sensor(recipe: Recipe) -> dg.SensorDefinition:
    wanted = [dg.AssetKey([recipe.model, name]) for name in ("drift_report", "retrain_decision")]
    name = f"{recipe.model}_retrain_sensor"

    @dg.sensor(
        name=name,
        target=dg.AssetSelection.assets(*wanted),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for a retrain decision when there is a batch that none has looked at, or when the "
        "candidate that a batch waited for has ended.",
    )
    def retrain_sensor(
        context: dg.SensorEvaluationContext, home: HomeResource
    ) -> dg.RunRequest | dg.SkipReason:
        due = decision_due(home.open(), recipe)
        if not due.now:
            return dg.SkipReason(due.why)
        mine = dg.RunsFilter(tags={"dagster/sensor_name": name}, statuses=_UNFINISHED)
        if context.instance.get_run_ids(mine, limit=1):
            return dg.SkipReason("a decision is being made")
        # A run key is honoured once: after a failed run nothing is asked for until the situation changes, so a
        # decision that keeps failing does not keep running. Whoever mends the cause re-executes the run.
        return dg.RunRequest(run_key=due.situation, asset_selection=wanted, tags={"ft_assets/why": due.why})

    return retrain_sensor


def _candidates_sensor(recipe: Recipe) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{recipe.model}_candidates_sensor",
        target=dg.AssetSelection.assets([recipe.model, "dataset"]),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Makes a partition of every candidate that a decision opened.",
    )
    def candidates_sensor(
        context: dg.SensorEvaluationContext, home: HomeResource
    ) -> dg.SensorResult | dg.SkipReason:
        keys = [candidate.key for candidate in list_candidates(home.open(), recipe.model)]
        return _add(context, candidate_partitions(recipe.model), keys, "every candidate has its partition")

    return candidates_sensor


def _add(
    context: dg.SensorEvaluationContext,
    partitions: dg.DynamicPartitionsDefinition,
    keys: Iterable[str],
    nothing: str,
) -> dg.SensorResult | dg.SkipReason:
    """Ask for the partition keys that Dagster does not have yet."""
    assert partitions.name is not None
    known = set(context.instance.get_dynamic_partitions(partitions.name))
    missing = [key for key in keys if key not in known]
    if not missing:
        return dg.SkipReason(nothing)
    return dg.SensorResult(dynamic_partitions_requests=[partitions.build_add_request(missing)])
