"""Curated batches under a real Dagster instance, each judged by its own partition's check."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from ft_assets.curation.assets import build_assets as curation_assets
from ft_assets.curation.checks import build_checks
from ft_assets.recipe import Recipe
from ft_assets.recipe_data import Curation
from ft_assets.sources.assets import build_assets as source_assets
from ft_assets.sources.batches import open_batch
from ft_assets.sources.docstrings import read_docstrings
from ft_assets.sources.example import Example
from ft_assets.storage.assets import HomeResource, batch_partitions
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of, find_record
from ft_assets.storage.tables import batches
from ft_assets_tests.curation.rows import chat


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def _open(home: Home, instance: dg.DagsterInstance, examples: Sequence[Example], day: int = 1) -> str:
    key = open_batch(home, "tiny", examples, "file")
    assert key is not None
    opened_at = datetime(2026, 1, day, tzinfo=UTC)
    with home.database.write() as connection:
        connection.execute(sa.update(batches).where(batches.c.key == key).values(opened_at=opened_at))
    instance.add_dynamic_partitions("tiny_batches", [key])
    return key


def _run(recipe: Recipe, home: Home, instance: dg.DagsterInstance, key: str, *more: dg.AssetsDefinition):
    return dg.materialize(
        [*source_assets(recipe), *curation_assets(recipe), *build_checks(recipe), *more],
        instance=instance,
        partition_key=key,
        resources={"home": HomeResource(root=home.root)},
        raise_on_error=False,
    )


def _downstream(made: list[str]) -> dg.AssetsDefinition:
    @dg.asset(deps=[dg.AssetKey(["tiny", "curated_batch"])], partitions_def=batch_partitions("tiny"))
    def after(context: dg.AssetExecutionContext) -> None:
        made.append(context.partition_key)

    return after


def _rows(home: Home, key: str, file: str = "rows.parquet") -> list[dict]:
    _, folder = artifact_of(home, "tiny", "curated_batch", key)
    return pq.read_table(folder / file).to_pylist()


def test_a_batch_is_curated_and_described(recipe: Recipe, home: Home, instance: dg.DagsterInstance) -> None:
    examples = list(read_docstrings(["json", "textwrap", "optparse"], "PSF-2.0", 40))
    copied = chat("I am ann@example.com", "Write to ann@example.com.")
    key = _open(home, instance, [*examples, copied, copied])
    made: list[str] = []
    result = _run(recipe, home, instance, key, _downstream(made))
    assert result.success
    assert made == [key]
    assert len(_rows(home, key)) + len(_rows(home, key, "rejected.parquet")) == 42
    (event,) = [
        event.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(["tiny", "curated_batch"])
    ]
    assert event.metadata["dagster/row_count"].value == len(_rows(home, key))
    assert "| exact_duplicate | 1 |" in str(event.metadata["reasons"].value)
    assert "| EMAIL | 4 |" in str(event.metadata["redactions"].value)
    assert "ann@example.com" not in str(event.metadata)
    (check,) = result.get_asset_check_evaluations()
    assert check.passed


def test_a_batch_of_nothing_but_rejects_is_kept_and_blocks_its_own_partition_only(
    recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    bad = _open(home, instance, [chat("Who?", "Ann"), chat("", "It is Ann, of course.")])
    good = _open(home, instance, [chat("Who?", "It is Ann, of course.")], day=2)
    made: list[str] = []
    assert not _run(recipe, home, instance, bad, _downstream(made)).success
    assert _run(recipe, home, instance, good, _downstream(made)).success
    result = _run(recipe, home, instance, bad, _downstream(made))
    assert made == [good]
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    words = check.description or ""
    assert "100.0% of 2 rows were rejected (1 answer_too_short, 1 empty_turn)" in words
    assert Path(words.partition("each is in ")[2].split(" with ")[0]).is_file()
    assert _rows(home, bad) == []


def test_a_later_batch_keeps_only_what_earlier_ones_do_not_have(
    recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    examples = list(read_docstrings(["json"], "PSF-2.0", 20))
    first = _open(home, instance, examples[:10], day=1)
    second = _open(home, instance, examples, day=2)
    assert _run(recipe, home, instance, first).success
    assert _run(recipe, home, instance, second).success
    assert not {row["id"] for row in _rows(home, first)} & {row["id"] for row in _rows(home, second)}
    assert {row["batch"] for row in _rows(home, second)} == {second}


def test_the_order_in_which_batches_are_curated_changes_nothing(
    recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    examples = list(read_docstrings(["json"], "PSF-2.0", 20))
    keys = [
        _open(home, instance, part, day)
        for day, part in enumerate((examples[:8], examples[4:12], examples[:16]), start=1)
    ]
    for key in reversed(keys):
        assert _run(recipe, home, instance, key).success
    backwards = [artifact_of(home, "tiny", "curated_batch", key)[0] for key in keys]
    for key in keys:
        assert _run(recipe, home, instance, key).success
    assert [artifact_of(home, "tiny", "curated_batch", key)[0] for key in keys] == backwards
    ids = [row["id"] for key in keys for row in _rows(home, key)]
    assert len(ids) == len(set(ids))


def test_a_later_batch_takes_nothing_from_an_earlier_one(
    recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    examples = [chat("Who is it?", "It is Ann, of course.")]
    late = _open(home, instance, [*examples, chat("Where?", "In the garden, I think.")], day=2)
    early = _open(home, instance, examples, day=1)
    assert _run(recipe, home, instance, late).success
    assert _run(recipe, home, instance, early).success
    assert (len(_rows(home, early)), len(_rows(home, late))) == (1, 1)


def test_without_a_raw_batch_nothing_is_curated(
    recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    key = _open(home, instance, [chat("Who is it?", "It is Ann, of course.")])
    result = dg.materialize(
        curation_assets(recipe),
        instance=instance,
        partition_key=key,
        resources={"home": HomeResource(root=home.root)},
        raise_on_error=False,
    )
    assert "was never materialized" in str(result.get_step_failure_events()[0].event_specific_data)
    assert find_record(home, "tiny", "curated_batch", key) is None


def test_a_batch_of_which_too_much_is_rejected_fails_its_check_after_the_evidence_is_written(
    recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    strict = recipe.model_copy(update={"curation": Curation(max_reject_share=0.5)})
    rows = [chat("Who is it?", "It is Ann, of course."), chat("Who?", "Ann"), chat("Where?", "In")]
    key = _open(home, instance, rows)
    made: list[str] = []
    (check,) = _run(strict, home, instance, key, _downstream(made)).get_asset_check_evaluations()
    assert not check.passed and made == []
    assert "66.7% of 3 rows were rejected (2 answer_too_short)" in (check.description or "")
    assert len(_rows(home, key, "rejected.parquet")) == 2


def test_a_batch_whose_raw_rows_are_gone_is_not_curated_and_does_not_hold_up_the_next(
    recipe: Recipe, home: Home, instance: dg.DagsterInstance
) -> None:
    gone = _open(home, instance, [chat("Who is it?", "It is Ann, of course.")], day=1)
    late = _open(home, instance, [chat("Where is it?", "It is in the garden.")], day=2)
    with home.database.write() as connection:
        deleted = sa.update(batches).where(batches.c.key == gone)
        connection.execute(deleted.values(rows_deleted_at=datetime(2026, 2, 1, tzinfo=UTC)))
    assert _run(recipe, home, instance, late).success
    assert not _run(recipe, home, instance, gone).success
