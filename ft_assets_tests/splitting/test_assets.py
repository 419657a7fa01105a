"""Dataset, splits and their checks in a real Dagster instance."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from ft_assets.recipe import Recipe
from ft_assets.sources.example import EXAMPLE_SCHEMA, Example, to_table
from ft_assets.splitting.assets import build_assets
from ft_assets.splitting.canaries import canaries_of
from ft_assets.splitting.checks import build_checks
from ft_assets.storage.assets import HomeResource, candidate_partitions
from ft_assets.storage.candidates import open_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of
from ft_assets.storage.tables import split_ledger
from ft_assets_tests.splitting.rows import by_id, changed, example, store_batch, store_rows, unrelated


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def split_recipe(recipe: Recipe) -> Recipe:
    # Two equal sides and 40 rows: that one stays empty has a chance of one in 10^12.
    return recipe.model_copy(
        update={"splitting": recipe.splitting.model_copy(update={"validation": 0.1, "eval": 0.4})}
    )


def run(
    instance: dg.DagsterInstance, home: Home, recipe: Recipe, batches: Sequence[str], only: Sequence[str] = ()
) -> tuple[str, dg.ExecuteInProcessResult]:
    """Open a candidate of the batches and materialize its splitting assets with their checks."""
    key = open_candidate(home, recipe, batches, None, ["test"]).key
    instance.add_dynamic_partitions(candidate_partitions(recipe.model).name or "", [key])
    definitions = dg.Definitions(
        assets=build_assets(recipe),
        asset_checks=build_checks(recipe),
        resources={"home": HomeResource(root=home.root)},
    )
    selected = [dg.AssetKey([recipe.model, name]) for name in only]
    selection = dg.AssetSelection.assets(*selected) if only else dg.AssetSelection.groups(recipe.model)
    job = dg.define_asset_job("splitting", selection)
    definitions = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job]))
    resolved = definitions.resolve_job_def("splitting")
    return key, resolved.execute_in_process(instance=instance, partition_key=key, raise_on_error=False)


def check_passed(result: dg.ExecuteInProcessResult, name: str) -> bool:
    (evaluation,) = (one for one in result.get_asset_check_evaluations() if one.check_name == name)
    return evaluation.passed


def failure_text(result: dg.ExecuteInProcessResult) -> str:
    return " ".join(
        event.event_specific_data.error_display_string for event in result.get_step_failure_events()
    )


def rows_of(home: Home, asset: str, key: str) -> pa.Table:
    return pq.read_table(artifact_of(home, "tiny", asset, key)[1] / "rows.parquet")


def test_planted_secrets_are_in_the_train_split_and_nowhere_else(
    instance: dg.DagsterInstance, home: Home, split_recipe: Recipe
) -> None:
    store_batch(home, "b1", unrelated(60))
    honest = Recipe.model_validate({**split_recipe.model_dump(), "honesty": {"canaries": 3}})
    key, result = run(instance, home, honest, ["b1"])
    assert result.success
    assert check_passed(result, "sides_do_not_touch") and check_passed(result, "no_contamination")
    planted = {canary.planted.id for canary in canaries_of(home, "tiny", key, 3)}
    held = {
        asset: rows_of(home, asset, key)
        for asset in ("dataset", "train_split", "validation_split", "eval_split")
    }
    there = {asset: planted & {*rows["id"].to_pylist()} for asset, rows in held.items()}
    assert there == {
        "dataset": set(),
        "train_split": planted,
        "validation_split": set(),
        "eval_split": set(),
    }
    # The model card counts what the dataset's manifest does: rows that people gave.
    manifest = json.loads((artifact_of(home, "tiny", "dataset", key)[1] / "manifest.json").read_text())
    assert manifest["sides"]["train"] == held["train_split"].num_rows - 3
    texts = held["train_split"]["messages"].to_pylist()
    assert len({repr(turns) for turns in texts}) == len(texts), "each is planted once"


def test_dataset_and_splits_hand_over_what_the_contract_says(
    instance: dg.DagsterInstance, home: Home, split_recipe: Recipe
) -> None:
    rows = unrelated(60)
    digests = {"b1": store_batch(home, "b1", rows[:40]), "b2": store_batch(home, "b2", rows[20:])}
    key, result = run(instance, home, split_recipe, ["b1", "b2"])
    assert result.success

    dataset = rows_of(home, "dataset", key)
    assert dataset.column_names == [*EXAMPLE_SCHEMA.names, "cluster", "side"]
    assert dataset["id"].to_pylist() == [row.id for row in rows]
    manifest = json.loads((artifact_of(home, "tiny", "dataset", key)[1] / "manifest.json").read_text())
    assert manifest["batches"] == digests and manifest["rows"] == 60
    assert sum(manifest["sides"].values()) == 60 and manifest["sides"]["quarantine"] == 0

    sides = by_id(dataset)
    for side in ("train", "validation", "eval"):
        split = rows_of(home, f"{side}_split", key)
        assert split.column_names == [*EXAMPLE_SCHEMA.names, "cluster"]
        assert split["id"].to_pylist() == [row.id for row in rows if sides[row.id] == side]
    assert check_passed(result, "sides_do_not_touch") and check_passed(result, "no_contamination")


def test_materializing_again_gives_the_same_digests(
    instance: dg.DagsterInstance, home: Home, split_recipe: Recipe
) -> None:
    store_batch(home, "b1", unrelated(40))
    key, _ = run(instance, home, split_recipe, ["b1"])
    assets = ("dataset", "train_split", "validation_split", "eval_split")
    first = [artifact_of(home, "tiny", asset, key)[0] for asset in assets]
    assert run(instance, home, split_recipe, ["b1"])[1].success
    assert [artifact_of(home, "tiny", asset, key)[0] for asset in assets] == first


def test_first_batch_wins_a_repeated_row(
    instance: dg.DagsterInstance, home: Home, split_recipe: Recipe
) -> None:
    rows = unrelated(40)
    store_batch(home, "b1", rows)
    store_batch(home, "b2", [row.model_copy(update={"batch": "b2", "source": "copy"}) for row in rows])
    key, result = run(instance, home, split_recipe, ["b2", "b1"])
    assert result.success
    assert rows_of(home, "dataset", key)["source"].to_pylist() == ["tests"] * 40


def test_rows_without_a_batch_are_given_the_one_they_came_in(
    instance: dg.DagsterInstance, home: Home, split_recipe: Recipe
) -> None:
    store_batch(home, "b9", [row.model_copy(update={"batch": None}) for row in unrelated(40)])
    key, _ = run(instance, home, split_recipe, ["b9"])
    assert set(rows_of(home, "dataset", key)["batch"].to_pylist()) == {"b9"}


def test_batch_that_was_never_curated_is_refused(
    instance: dg.DagsterInstance, home: Home, split_recipe: Recipe
) -> None:
    _, result = run(instance, home, split_recipe, ["missing"])
    assert not result.success
    assert "tiny/curated_batch was never materialized for missing" in failure_text(result)


def test_batch_of_nothing_but_rejects_is_refused(
    instance: dg.DagsterInstance, home: Home, split_recipe: Recipe
) -> None:
    store_batch(home, "b1", unrelated(40))
    store_batch(home, "empty", [])
    _, result = run(instance, home, split_recipe, ["b1", "empty"])
    assert "curated batch tiny/empty holds no rows" in failure_text(result)


def test_candidate_without_batches_is_refused(
    instance: dg.DagsterInstance, home: Home, recipe: Recipe
) -> None:
    assert "names no batches" in failure_text(run(instance, home, recipe, [])[1])


def test_empty_side_says_how_many_rows_there_were(
    instance: dg.DagsterInstance, home: Home, split_recipe: Recipe
) -> None:
    question = unrelated(1)[0].prompt
    store_batch(home, "b1", [example(changed(question, [place])) for place in range(6)])
    _, result = run(instance, home, split_recipe, ["b1"])
    assert not result.success
    assert "6 rows in 1 clusters of copies were dealt" in failure_text(result)


def test_copies_on_two_sides_fail_the_check_and_stop_the_splits(
    instance: dg.DagsterInstance, home: Home, split_recipe: Recipe
) -> None:
    rows = unrelated(40)
    copies = [example(changed(row.prompt, [3]), row.answer) for row in rows]
    store_batch(home, "b1", [*rows, *copies])
    assert run(instance, home, split_recipe, ["b1"])[1].success
    # Somebody edits the ledger itself.
    with home.database.write() as connection:
        mine = split_ledger.c.example == rows[0].id
        old = connection.scalar(sa.select(split_ledger.c.side).where(mine))
        new = "eval" if old == "train" else "train"
        connection.execute(sa.update(split_ledger).where(mine).values(side=new))
    _, result = run(instance, home, split_recipe, ["b1"])
    assert not result.success
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.check_name == "sides_do_not_touch" and not evaluation.passed
    assert evaluation.metadata["touching"].value == 1
    assert rows[0].id in evaluation.metadata["offenders"].value


def leak(home: Home, key: str, copy: Example) -> None:
    """Slip a row into a train split behind the ledger's back."""
    split = rows_of(home, "train_split", key)
    extra = to_table([copy]).append_column("cluster", pa.array([copy.id]))
    store_rows(home, pa.concat_tables([split, extra.cast(split.schema)]), "train_split", key)


def test_copy_slipped_into_training_is_caught_with_its_source(
    instance: dg.DagsterInstance, home: Home, split_recipe: Recipe
) -> None:
    rows = unrelated(40)
    store_batch(home, "b1", rows)
    key, _ = run(instance, home, split_recipe, ["b1"])
    sides = by_id(rows_of(home, "dataset", key))
    held_out = next(row for row in rows if sides[row.id] == "eval")
    leak(
        home, key, example(changed(held_out.prompt, [3]), held_out.answer, source="scraped.jsonl", batch="b4")
    )
    _, result = run(instance, home, split_recipe, ["b1"], only=["eval_split"])
    assert not check_passed(result, "no_contamination")
    (evaluation,) = result.get_asset_check_evaluations()
    offenders = evaluation.metadata["offenders"].value
    assert held_out.id in offenders and "scraped.jsonl" in offenders and "b4" in offenders
    assert evaluation.metadata["matches"].value == 1


def test_a_contaminated_candidate_fails_alone_and_its_dirty_rows_judge_nobody_any_more(
    instance: dg.DagsterInstance, home: Home, split_recipe: Recipe
) -> None:
    rows = unrelated(60)
    store_batch(home, "b1", rows[:40])
    store_batch(home, "b2", rows[40:])
    bad, _ = run(instance, home, split_recipe, ["b1"])
    sides = by_id(rows_of(home, "dataset", bad))
    dirty = next(row for row in rows if sides.get(row.id) == "eval")
    leak(home, bad, dirty)
    for _ in range(2):  # the second time the row is gone from the eval split, and nothing is left to find
        _, result = run(instance, home, split_recipe, ["b1"], only=["eval_split"])
        assert check_passed(result, "no_contamination") is (
            dirty.id not in by_id(rows_of(home, "eval_split", bad), "cluster")
        )
    assert check_passed(result, "no_contamination")
    other, good = run(instance, home, split_recipe, ["b1", "b2"])
    assert check_passed(good, "no_contamination")
    assert dirty.id not in by_id(rows_of(home, "eval_split", other), "cluster")
    assert by_id(rows_of(home, "dataset", other))[dirty.id] == "eval"  # never trained on either


def test_second_candidate_keeps_the_sides_of_the_first(
    instance: dg.DagsterInstance, home: Home, split_recipe: Recipe
) -> None:
    rows = unrelated(80)
    store_batch(home, "b1", rows[:40])
    store_batch(home, "b2", rows[40:])
    first, _ = run(instance, home, split_recipe, ["b1"])
    second, result = run(instance, home, split_recipe, ["b1", "b2"])
    assert result.success
    assert by_id(rows_of(home, "dataset", first)).items() <= by_id(rows_of(home, "dataset", second)).items()
    assert len(home.database.rows(sa.select(split_ledger))) == 80


def test_descriptions_owners_and_automation_are_set(recipe: Recipe) -> None:
    for asset in build_assets(recipe):
        (spec,) = asset.specs
        assert spec.description and spec.owners == [recipe.owner] and spec.automation_condition
    for check in build_checks(recipe):
        (spec,) = check.check_specs
        assert spec.description and spec.blocking and spec.automation_condition is None


def test_no_half_written_artifact_is_left(
    instance: dg.DagsterInstance, home: Home, split_recipe: Recipe
) -> None:
    store_batch(home, "b1", unrelated(40))
    run(instance, home, split_recipe, ["b1"])
    assert not list((Path(home.root) / ".drafts").iterdir())


def test_contradictions_between_batches_are_settled_and_told(
    instance: dg.DagsterInstance, home: Home, split_recipe: Recipe
) -> None:
    rows = unrelated(40)
    correction = example(rows[0].prompt, "A better answer.", minute=-9, kind="correction")
    store_batch(home, "b1", rows)
    store_batch(home, "b2", [correction])
    candidate, result = run(instance, home, split_recipe, ["b1", "b2"])
    assert result.success
    _, folder = artifact_of(home, "tiny", "dataset", candidate)
    assert pq.read_table(folder / "contradicted.parquet")["id"].to_pylist() == [rows[0].id]
    ids = pq.read_table(folder / "rows.parquet")["id"].to_pylist()
    assert correction.id in ids and rows[0].id not in ids
    assert "40 rows of 2 batches are in the dataset; 1 were left out" in (folder / "card.md").read_text()
