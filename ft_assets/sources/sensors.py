"""Watches the recipe's sources, and gives every batch its partition."""

import json

import dagster as dg

from ft_assets.errors import FtAssetsError
from ft_assets.recipe import Recipe
from ft_assets.recipe_data import Source
from ft_assets.sources.batches import list_batches, open_batch
from ft_assets.sources.readers import read_source, source_origin, source_stamp
from ft_assets.sources.retention import Expired, delete_expired
from ft_assets.storage.assets import HomeResource, batch_partitions, plain_failures
from ft_assets.storage.home import Home


def build_sensors(recipe: Recipe) -> list[dg.SensorDefinition]:
    """`<model>_sources_sensor` and `<model>_retention_sensor`."""
    return [_sources_sensor(recipe), _retention_sensor(recipe)]


def _sources_sensor(recipe: Recipe) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{recipe.model}_sources_sensor",
        description="Opens a batch when a source of the recipe has new content, and adds the partition of "
        "every batch, whoever opened it.",
        target=dg.AssetSelection.assets([recipe.model, "raw_batch"]),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
    )
    def sources_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SensorResult:
        opened = home.open()
        seen, problems = _look(opened, recipe, json.loads(context.cursor or "{}"))
        partitions = batch_partitions(recipe.model)
        present = set(context.instance.get_dynamic_partitions(partitions.name or ""))
        keys = [row["key"] for row in list_batches(opened, recipe.model) if row["key"] not in present]
        if problems and not keys:  # with keys to add, the next tick finds the problem again and says it
            raise dg.Failure("\n".join(problems), allow_retries=False)
        return dg.SensorResult(
            skip_reason=None if keys else "no source has new content",
            dynamic_partitions_requests=[partitions.build_add_request(keys)] if keys else [],
            cursor=json.dumps(seen),
        )

    return sources_sensor


def _retention_sensor(recipe: Recipe) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{recipe.model}_retention_sensor",
        description="Deletes the raw rows of batches whose `curation.raw_retention_days` are over.",
        target=dg.AssetSelection.assets([recipe.model, "raw_batch"]),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=3_600,
    )
    def retention_sensor(context: dg.SensorEvaluationContext, home: HomeResource) -> dg.SkipReason:
        with plain_failures():
            expired = delete_expired(home.open(), recipe)
        for batch in expired:
            if not batch.curated:
                context.log.warning(f"the raw rows of {batch.key} were deleted, and it was never curated")
        return dg.SkipReason(_say(expired))

    return retention_sensor


def _say(expired: list[Expired]) -> str:
    if not expired:
        return "no batch's retention is over"
    said = [batch.key if batch.curated else f"{batch.key} (never curated)" for batch in expired]
    return f"deleted the raw rows of {', '.join(said)}"


def _look(home: Home, recipe: Recipe, seen: dict[str, list[str]]) -> tuple[dict[str, list[str]], list[str]]:
    """Open a batch for each source with new content; one broken source does not hold up the others.

    `seen` maps a source to its [stamp, batch key] and only saves reading: a stamp counts while its batch exists.

    Returns:
        What is seen now, and what went wrong in words for a person.
    """
    known = {row["key"] for row in list_batches(home, recipe.model)} | {""}  # a source may have no rows
    now, problems = {}, []
    for source in recipe.sources:
        name = source.model_dump_json()
        try:
            stamp, key = source_stamp(source), seen.get(name, ["", ""])
            if stamp is None or key[0] != stamp or key[1] not in known:
                key = [stamp or "", _open(home, recipe.model, source)]
            now[name] = key
        except FtAssetsError as error:
            problems.append(str(error))
    return now, problems


def _open(home: Home, model: str, source: Source) -> str:
    return open_batch(home, model, read_source(source), source_origin(source)) or ""
