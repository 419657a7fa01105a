"""The sensor opens batches from sources; `raw_batch` hands over exactly their bytes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ft_assets.recipe import Recipe
from ft_assets.sources.assets import build_assets
from ft_assets.sources.batches import list_batches, open_batch
from ft_assets.sources.docstrings import read_docstrings
from ft_assets.sources.sensors import build_sensors
from ft_assets.storage.assets import HomeResource, batch_partitions
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of
from ft_assets_tests.sources.test_retention import age


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def _tick(
    recipe: Recipe, home: Home, instance: dg.DagsterInstance, cursor: str | None = None
) -> dg.SensorResult:
    sensor, _ = build_sensors(recipe)
    context = dg.build_sensor_context(instance=instance, cursor=cursor)
    result: Any = sensor(context, home=HomeResource(root=home.root))
    for request in result.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
    return result


def _materialize(
    recipe: Recipe, home: Home, instance: dg.DagsterInstance, key: str
) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        build_assets(recipe),
        instance=instance,
        partition_key=key,
        resources={"home": HomeResource(root=home.root)},
        raise_on_error=False,
    )


def _chat(tmp_path: Path, recipe: Recipe, answers: list[str]) -> Recipe:
    rows = [
        {"messages": [{"role": "user", "content": "Say."}, {"role": "assistant", "content": answer}]}
        for answer in answers
    ]
    (tmp_path / "chat.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    source = {"kind": "file", "path": str(tmp_path / "chat.jsonl"), "license": "MIT"}
    return Recipe.model_validate({**recipe.model_dump(), "sources": [source, recipe.sources[0].model_dump()]})


def test_each_source_becomes_a_partition_that_materializes(
    tmp_path: Path, recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    recipe = _chat(tmp_path, recipe, ["First answer.", "Second answer."])
    _tick(recipe, home, instance)
    keys = instance.get_dynamic_partitions("tiny_batches")
    assert sorted(keys) == sorted(row["key"] for row in list_batches(home, "tiny"))
    assert {row["origin"] for row in list_batches(home, "tiny")} == {"file", "source"}
    for row in list_batches(home, "tiny"):
        result = _materialize(recipe, home, instance, row["key"])
        (event,) = result.get_asset_materialization_events()
        assert event.materialization.metadata["dagster/row_count"].value == row["rows"]
        assert artifact_of(home, "tiny", "raw_batch", row["key"])[0] == row["digest"]


def test_a_second_tick_finds_nothing_new_with_or_without_its_cursor(
    recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    first = _tick(recipe, home, instance)
    for cursor in (first.cursor, None):
        again = _tick(recipe, home, instance, cursor)
        assert not again.dynamic_partitions_requests
        assert again.skip_reason
        assert again.cursor == first.cursor
    assert len(list_batches(home, "tiny")) == 1


def test_new_lines_in_a_file_are_a_new_batch(
    tmp_path: Path, recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    first = _tick(_chat(tmp_path, recipe, ["One."]), home, instance)
    _tick(_chat(tmp_path, recipe, ["One.", "Another."]), home, instance, first.cursor)
    assert [row["rows"] for row in list_batches(home, "tiny") if row["origin"] == "file"] == [1, 2]


def test_a_cursor_of_another_home_hides_nothing(
    tmp_path: Path, recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    cursor = _tick(recipe, home, instance).cursor
    other = Home(tmp_path / "other")
    _tick(recipe, other, instance, cursor)
    assert len(list_batches(other, "tiny")) == 1


def test_batches_that_others_opened_get_their_partition(
    recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    key = open_batch(home, "tiny", list(read_docstrings(["ast"], "PSF-2.0", 3)), "feedback")
    _tick(recipe, home, instance)
    assert key in instance.get_dynamic_partitions(batch_partitions("tiny").name or "")


def test_a_broken_source_is_reported_and_holds_up_no_other(
    tmp_path: Path, recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    recipe = _chat(tmp_path, recipe, ["One."])
    (tmp_path / "chat.jsonl").write_text("\n")
    _tick(recipe, home, instance)
    assert [row["origin"] for row in list_batches(home, "tiny")] == ["source"]
    with pytest.raises(dg.Failure, match=r"chat\.jsonl: the file has no rows"):
        _tick(recipe, home, instance)


def test_bad_lines_hold_up_nothing_and_are_counted_by_reason(
    tmp_path: Path, recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    recipe = _chat(tmp_path, recipe, ["One.", "Two."])
    with (tmp_path / "chat.jsonl").open("a") as file:
        file.write('\n{"messages": []}\nsecret words\n{"prompt": "a", "completion": "b"}')
    _tick(recipe, home, instance)
    (key,) = [row["key"] for row in list_batches(home, "tiny") if row["origin"] == "file"]
    (event,) = _materialize(recipe, home, instance, key).get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert (metadata["dagster/row_count"].value, metadata["unreadable rows"].value) == (3, 2)
    assert "| not_json | 1 |" in str(metadata["reasons"].value)
    assert "| messages | 2 |" in str(metadata["shapes"].value)
    assert "| default | 3 |" in str(metadata["slices"].value)
    assert "secret words" not in str(metadata)


def test_raw_rows_whose_retention_is_over_are_deleted_and_said_so(
    recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    _tick(recipe, home, instance)
    (row,) = list_batches(home, "tiny")
    _, sensor = build_sensors(recipe)
    look: Any = lambda: sensor(dg.build_sensor_context(), home=HomeResource(root=home.root))  # noqa: E731
    assert "no batch's retention is over" in look().skip_message
    age(home, row["key"], days=31)
    assert look().skip_message == f"deleted the raw rows of {row['key']} (never curated)"
    assert not home.artifacts.exists("batches", row["digest"])
    _tick(recipe, home, instance)  # the source is as it was, and opens nothing
    assert [batch["key"] for batch in list_batches(home, "tiny")] == [row["key"]]
    result = _materialize(recipe, home, instance, row["key"])
    assert "raw_retention_days" in str(result.get_step_failure_events()[0].event_specific_data)


def test_changed_bytes_are_refused_without_a_retry(
    recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    _tick(recipe, home, instance)
    (row,) = list_batches(home, "tiny")
    path = Path(home.root) / "batches" / row["digest"] / "rows.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    result = _materialize(recipe, home, instance, row["key"])
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert "no longer match its digest" in str(failure.event_specific_data)
    assert not result.get_asset_materialization_events()


def test_a_partition_that_no_one_opened_is_refused(
    recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    instance.add_dynamic_partitions("tiny_batches", ["20260101T0000-00000000"])
    result = _materialize(recipe, home, instance, "20260101T0000-00000000")
    assert "has no batch" in str(result.get_step_failure_events()[0].event_specific_data)
