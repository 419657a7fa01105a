"""Watches the recipe's sources, and gives every batch its partition."""

import json

import dagster as dg

from ft_assets.errors import FtAssetsError
from ft_assets.recipe import Recipe, Source
from ft_assets.sources.batches import list_batches, open_batch
from ft_assets.sources.readers import read_source, source_origin, source_stamp
from ft_assets.storage.assets import HomeResource, batch_partitions
from ft_assets.storage.home import Home


def build_sensors(recipe: Recipe) -> list[dg.SensorDefinition]:
    """`<model>_sources_sensor`."""

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

    return [sources_sensor]


def _look(home: Home, recipe: Recipe, seen: dict[str, list[str]]) -> tuple[dict[str, list[str]], list[str]]:
    """Open a batch for each source with new content; one broken source does not hold up the others.

    `seen` maps a source to its [stamp, batch key] and only saves reading: a stamp counts while its batch exists.

    Returns:
        What is seen now, and what went wrong in words for a person.
    """
    known = {row["key"] for row in list_batches(home, recipe.model)}
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
    return open_batch(home, model, list(read_source(source)), source_origin(source)) or ""
