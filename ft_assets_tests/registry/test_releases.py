"""Nothing is released without a signed pass over exactly the bytes at hand."""

import json
from dataclasses import replace

import pytest
import sqlalchemy as sa

from ft_assets.errors import Refused
from ft_assets.evaluation.receipts import find_receipt, issue_receipt
from ft_assets.recipe import Recipe
from ft_assets.registry.card import card, write_card
from ft_assets.registry.releases import proof_of, release, release_of
from ft_assets.storage.costs import record_cost
from ft_assets.storage.home import Home
from ft_assets.storage.keys import address
from ft_assets.storage.records import find_record, write_record
from ft_assets.storage.releases import list_releases
from ft_assets.storage.tables import receipts
from ft_assets_tests.postgres import about_sqlite
from ft_assets_tests.registry.attempts import attempt, hold, passed
from ft_assets_tests.storage.test_costs import expense


def refused(home: Home, candidate: str, match: str | None = None) -> None:
    with pytest.raises(Refused, match=match):
        release(home, "tiny", candidate)
    assert list_releases(home) == []


def test_passing_candidate_is_released_once_with_its_lineage(home: Home, recipe: Recipe) -> None:
    candidate = passed(home, recipe, "one")
    made = release(home, "tiny", candidate.key)
    assert release(home, "tiny", candidate.key) == made == release_of(home, "tiny", candidate.key)
    record = find_record(home, "tiny", "adapter", candidate.key)
    assert record is not None
    assert made.address == address("tiny", record.digest)
    lineage = made.lineage
    assert lineage["adapter"] == record.digest
    assert lineage["owner"] == "team:tests"
    assert lineage["batches"] == {"batch-one": "b" * 64}
    assert lineage["rows"] == {"all": 10, "train": 8, "eval": 2}
    assert lineage["recipe"] == recipe.digest()
    assert lineage["scores"]["candidate"] == {"loss": 2.0}
    assert lineage["receipt"] == made.receipt
    assert lineage["base"]["name"] == "tiny-random"
    assert None not in lineage["splits"].values()
    assert lineage["incumbents"] == []


def test_lineage_and_card_tell_what_the_candidate_had_cost(home: Home, recipe: Recipe) -> None:
    candidate = passed(home, recipe, "one")
    for each in (
        expense("a", candidate=candidate.key),
        expense("b", candidate=candidate.key, money=None),
        expense("c"),
    ):
        record_cost(home, each)
    made = release(home, "tiny", candidate.key)
    total = {"device_seconds": 20.0, "tokens": 200, "watt_hours": 2.0, "money": {"EUR": 0.01}, "attempts": 2}
    assert made.lineage["cost"] == total
    assert "| cost | 20.0 device-seconds, 200 tokens, about 2 Wh, 0.01 EUR |" in card(made, candidate)
    del made.lineage["cost"]  # as it was before costs were counted
    assert "| cost |" not in card(made, candidate)


def test_lineage_names_every_incumbent(home: Home, recipe: Recipe) -> None:
    made = [release(home, "tiny", passed(home, recipe, "one").key)]
    for name in ("two", "three"):
        made.append(release(home, "tiny", passed(home, recipe, name, made[-1].address).key))
    assert made[2].lineage["incumbents"] == [made[1].address, made[0].address]


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_other_verdicts_are_refused_with_their_reasons(home: Home, recipe: Recipe, verdict: str) -> None:
    candidate = passed(home, recipe, "one", verdict=verdict, reasons=["chrF lost 9 points"])
    refused(home, candidate.key, f"{verdict}: chrF lost 9 points")


def test_latest_verdict_counts(home: Home, recipe: Recipe) -> None:
    candidate, body = attempt(home, recipe, "one")
    issue_receipt(home, body)
    issue_receipt(home, {**body, "verdict": "fail"})
    refused(home, candidate.key, "fail")


def test_without_receipt(home: Home, recipe: Recipe) -> None:
    candidate, _ = attempt(home, recipe, "one")
    refused(home, candidate.key, "no gate receipt")


FIELDS = ("adapter_digest", "base_digest", "dataset_digest", "eval_digest", "report_digest", "recipe_digest")


@pytest.mark.parametrize("field", FIELDS)
def test_receipt_of_other_bytes_is_refused_by_name(home: Home, recipe: Recipe, field: str) -> None:
    candidate = passed(home, recipe, "one", **{field: "0" * 64})
    refused(home, candidate.key, f"{field} is .* and the receipt says 000000000000")


@pytest.mark.parametrize("asset", ["adapter", "eval_split", "eval_report"])
def test_artifact_remade_after_the_gate_is_refused(home: Home, recipe: Recipe, asset: str) -> None:
    candidate = passed(home, recipe, "one")
    record = find_record(home, "tiny", asset, candidate.key)
    assert record is not None
    hold(home, "tiny", asset, candidate.key, record.kind, {"other": "bytes"})
    refused(home, candidate.key, "not about what")


def test_flipped_bit_in_the_adapter_is_refused(home: Home, recipe: Recipe) -> None:
    candidate = passed(home, recipe, "one")
    record = find_record(home, "tiny", "adapter", candidate.key)
    assert record is not None
    file = home.artifacts.path("adapters", record.digest) / "adapter_model.safetensors"
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)
    refused(home, candidate.key, "changed after it was written")


def test_forged_verdict_is_refused(home: Home, recipe: Recipe) -> None:
    candidate = passed(home, recipe, "one", verdict="fail")
    with home.database.write() as connection:
        body = connection.scalar(sa.select(receipts.c.body))
        forged = json.dumps({**json.loads(body), "verdict": "pass"}, sort_keys=True)
        connection.execute(sa.update(receipts).values(body=forged, verdict="pass"))
    refused(home, candidate.key)


def test_forged_verdict_column_is_refused(home: Home, recipe: Recipe) -> None:
    candidate = passed(home, recipe, "one", verdict="fail")
    with home.database.write() as connection:
        connection.execute(sa.update(receipts).values(verdict="pass"))
    refused(home, candidate.key)


@about_sqlite
def test_receipt_of_another_installation_is_refused(home: Home, recipe: Recipe, tmp_path) -> None:
    candidate, body = attempt(home, recipe, "one")
    stranger = Home(tmp_path / "stranger")
    issue_receipt(stranger, body)
    row = stranger.database.row(sa.select(receipts))
    assert row is not None
    with home.database.write() as connection:
        connection.execute(sa.insert(receipts).values(row))
    refused(home, candidate.key)


def test_receipt_of_another_candidate_is_refused(home: Home, recipe: Recipe) -> None:
    first = passed(home, recipe, "one")
    second, _ = attempt(home, recipe, "two")
    with home.database.write() as connection:
        connection.execute(sa.update(receipts).values(candidate=second.key))
    refused(home, second.key)
    assert find_receipt(home, "tiny", first.key) is None


def test_same_bytes_from_another_candidate_are_not_released_twice(home: Home, recipe: Recipe) -> None:
    one, first = attempt(home, recipe, "one")
    issue_receipt(home, first)
    made = release(home, "tiny", one.key)
    two, second = attempt(home, recipe, "two")
    for asset, field in (("train_split", None), ("adapter", "adapter_digest")):
        record = find_record(home, "tiny", asset, one.key)
        assert record is not None
        write_record(home, replace(record, partition=two.key))
        if field:
            second[field] = record.digest
    issue_receipt(home, second)
    with pytest.raises(Refused, match=f"released as {made.address}"):
        release(home, "tiny", two.key)


@pytest.mark.parametrize("asset", ["train_split", "tiny-random"])
def test_adapter_trained_on_other_rows_or_another_base_is_refused(
    home: Home, recipe: Recipe, asset: str
) -> None:
    candidate, body = attempt(home, recipe, "one")
    if asset == "train_split":
        hold(home, "tiny", asset, candidate.key, "datasets", {"rows.parquet": "other rows"})
    else:
        body["base_digest"] = hold(home, "base_models", asset, "", "bases", {"config.json": "other"})
    issue_receipt(home, body)
    refused(home, candidate.key, "was trained with")


def test_unknown_candidate_is_refused(home: Home) -> None:
    refused(home, "20261121T1005-00000000", "no candidate")
    with pytest.raises(Refused, match="never released"):
        release_of(home, "tiny", "20261121T1005-00000000")


def test_changed_recipe_in_the_database_is_refused(home: Home, recipe: Recipe) -> None:
    candidate = passed(home, recipe, "one")
    training = recipe.training.model_copy(update={"seed": 7})
    changed = replace(candidate, recipe=recipe.model_copy(update={"training": training}))
    with pytest.raises(Refused, match="recipe_digest"):
        proof_of(home, changed)


@pytest.mark.parametrize(
    ("method", "words"), [("lora", "LoRA"), ("rslora", "rsLoRA"), ("dora", "DoRA"), ("qlora", "QLoRA")]
)
def test_card_names_the_method_also_where_a_search_found_it(
    home: Home, recipe: Recipe, method: str, words: str
) -> None:
    candidate = passed(home, recipe, "one")
    made = release(home, "tiny", candidate.key)
    made.lineage["settings"] = {"method": method, "rank": 5}
    assert f"| adapter | {words}, rank 5, `" in card(made, candidate)
    del made.lineage["settings"]  # as it was before they were kept
    assert "| adapter | LoRA, rank 16, `" in card(made, candidate)


def test_card_names_scores_owner_and_data_and_is_the_same_each_time(
    home: Home, recipe: Recipe, tmp_path
) -> None:
    candidate = passed(home, recipe, "one")
    made = release(home, "tiny", candidate.key)
    text = card(made, candidate)
    for word in (made.address, "team:tests", "batch-one", "8 train", "| base | 3 |", "| candidate | 2 |"):
        assert word in text
    write_card(tmp_path, made, candidate)
    assert json.loads((tmp_path / "release.json").read_text())["lineage"] == made.lineage
    assert (tmp_path / "card.md").read_text() == text
