"""The report and its gate, with a real child process and a real Dagster instance."""

import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from ft_assets.evaluation.proof import read_verdict
from ft_assets.evaluation.receipts import find_receipt, issue_receipt, verify_receipt
from ft_assets.recipe import Recipe
from ft_assets.storage.assets import WHEN_READY, candidate_partitions
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.costs import costs_of
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, write_record
from ft_assets_tests.evaluation.world import (
    EVAL,
    TRAIN,
    definitions,
    example,
    materialize,
    prepare_candidate,
    pretend_release,
    report_folder,
)


# Shared by all tests here: results are cached by content, so only the first to measure an adapter loads torch.
@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def open_new(home: Home, recipe: Recipe, adapter: Path, **how: Any) -> Candidate:
    """A candidate unlike any other of this module: each is opened with a batch of its own."""
    return prepare_candidate(home, recipe, adapter, batch=f"batch-{uuid.uuid4().hex}", **how)


def release_like(recipe: Recipe) -> dg.AssetsDefinition:
    """Something downstream that would ship what the gate lets through."""

    @dg.asset(
        key=[recipe.model, "release"],
        deps=[dg.AssetKey([recipe.model, "eval_report"])],
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=WHEN_READY,
    )
    def release() -> None: ...

    return release


def check_of(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (evaluation,) = result.get_asset_check_evaluations()
    return evaluation


def test_a_better_candidate_passes_with_a_report_and_a_signed_receipt(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance, trained_adapter: Path
) -> None:
    candidate = open_new(home, recipe, trained_adapter)
    result = materialize(home, recipe, candidate, instance, release_like(recipe))
    assert result.success
    assert check_of(result).passed
    assert len(result.asset_materializations_for_node("tiny__release")) == 1

    folder = report_folder(home, candidate)
    assert sorted(path.name for path in folder.iterdir()) == [
        "gate.json",
        "report.html",
        "report.md",
        "rows.parquet",
        "scores.json",
    ]
    rows = pq.read_table(folder / "rows.parquet").to_pylist()
    used = sorted(row.id for row in EVAL)[: recipe.evaluation.max_rows]
    assert [(row["arm"], row["id"]) for row in rows] == [
        (arm, id) for arm in ("base", "candidate") for id in used
    ]

    receipt = find_receipt(home, recipe.model, candidate.key)
    assert receipt is not None
    verify_receipt(home, receipt)
    body = receipt.body
    assert body["verdict"] == json.loads((folder / "gate.json").read_text())["verdict"] == "pass"
    assert body["contamination"] == {"checked": len(EVAL), "found": 0}
    assert body["scores"]["candidate"]["loss"] < body["scores"]["base"]["loss"]
    assert body["scores"]["incumbent"] is None

    (materialization,) = result.asset_materializations_for_node("tiny__eval_report")
    for wanted in (
        "verdict",
        "scores",
        "differences",
        "answers",
        "contamination",
        "seconds",
        "device_seconds",
        "receipt",
        "digest",
    ):
        assert wanted in materialization.metadata
    (cost,) = costs_of(home, recipe.model, candidate.key)
    answered = sum(row["answer_tokens"] for row in rows)
    assert (cost.stage, cost.device) == ("evaluation", "cpu") and cost.tokens >= answered


def test_a_worse_candidate_is_blocked_and_its_report_still_tells_why(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance, harmful_adapter: Path
) -> None:
    candidate = open_new(home, recipe, harmful_adapter)
    result = materialize(home, recipe, candidate, instance, release_like(recipe))
    assert not check_of(result).passed
    assert check_of(result).severity == dg.AssetCheckSeverity.ERROR
    assert result.asset_materializations_for_node("tiny__release") == []
    assert read_verdict(home, candidate).verdict == "fail"
    assert "fail" in (report_folder(home, candidate) / "report.md").read_text().splitlines()[0]


def test_a_leak_is_blocked_though_a_plain_gate_would_pass_it(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance, trained_adapter: Path
) -> None:
    leaked = EVAL[2].model_copy(update={"source": "leak.jsonl"})
    candidate = open_new(home, recipe, trained_adapter, train=[*TRAIN, leaked])
    result = materialize(home, recipe, candidate, instance)
    assert not check_of(result).passed
    assert "leak.jsonl" in (check_of(result).description or "")
    page = (report_folder(home, candidate) / "report.md").read_text()
    assert "would have said: pass" in page
    (match,) = json.loads((report_folder(home, candidate) / "gate.json").read_text())["contamination"][
        "matches"
    ]
    assert (match["eval_id"], match["kind"], match["trained_source"]) == (EVAL[2].id, "exact", "leak.jsonl")


def test_a_pass_of_one_candidate_does_not_release_another_that_failed(
    home: Home,
    recipe: Recipe,
    instance: dg.DagsterInstance,
    trained_adapter: Path,
    harmful_adapter: Path,
) -> None:
    bad = open_new(home, recipe, harmful_adapter)
    good = open_new(home, recipe, trained_adapter)
    for candidate in (bad, good):  # the pass comes last
        materialize(home, recipe, candidate, instance)
    defs = definitions(home, recipe, release_like(recipe))
    asked: set[str] = set()
    cursor = None
    for _ in range(3):
        evaluated = dg.evaluate_automation_conditions(defs, instance, cursor=cursor)
        cursor = evaluated.cursor
        asked |= evaluated.get_requested_partitions(dg.AssetKey([recipe.model, "release"])) - {None}  # type: ignore[arg-type]
    assert asked == {good.key}


def test_an_incumbent_is_measured_too_and_nothing_is_asked_twice(
    home: Home,
    recipe: Recipe,
    instance: dg.DagsterInstance,
    trained_adapter: Path,
    tiny_adapters: dict[str, Path],
) -> None:
    first = open_new(home, recipe, trained_adapter)
    materialize(home, recipe, first, instance)
    incumbent = pretend_release(home, first)
    second = open_new(home, recipe, tiny_adapters["one"], incumbent=incumbent)
    result = materialize(home, recipe, second, instance)
    (materialization,) = result.asset_materializations_for_node("tiny__eval_report")
    assert materialization.metadata["rows_reused"].value == 2 * recipe.evaluation.max_rows
    body = read_verdict(home, second).body
    assert body["scores"]["incumbent"] == read_verdict(home, first).body["scores"]["candidate"]
    assert any("incumbent" in reason for reason in body["reasons"])


def test_the_incumbents_training_rows_count_as_seen(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance, tiny_adapters: dict[str, Path]
) -> None:
    first = open_new(home, recipe, tiny_adapters["one"], train=[*TRAIN, example(40)])
    materialize(home, recipe, first, instance)
    incumbent = pretend_release(home, first)
    second = open_new(home, recipe, tiny_adapters["one"], held_out=[*EVAL, example(40)], incumbent=incumbent)
    result = materialize(home, recipe, second, instance)
    assert not check_of(result).passed
    assert example(40).id[:12] in (check_of(result).description or "")


def test_the_gate_notices_when_anything_it_judged_was_exchanged(
    home: Home,
    recipe: Recipe,
    instance: dg.DagsterInstance,
    trained_adapter: Path,
    harmful_adapter: Path,
) -> None:
    candidate = open_new(home, recipe, trained_adapter)
    materialize(home, recipe, candidate, instance)
    assert read_verdict(home, candidate).verdict == "pass"

    report = report_folder(home, candidate)
    honest = (report / "gate.json").read_text()
    (report / "gate.json").write_text(honest.replace('"pass"', '"fail"'))
    assert "changed after it was written" in why_not(home, candidate)
    (report / "gate.json").write_text(honest)

    other = home.artifacts.write("adapters", lambda draft: shutil.copytree(harmful_adapter, draft / "x"))
    write_record(home, Record(recipe.model, "adapter", candidate.key, "adapters", other))
    assert "adapter_digest" in why_not(home, candidate)


def test_a_receipt_that_disagrees_with_its_report_is_refused(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance, harmful_adapter: Path
) -> None:
    candidate = open_new(home, recipe, harmful_adapter)
    materialize(home, recipe, candidate, instance)
    body = {**read_verdict(home, candidate).body, "verdict": "pass"}
    del body["issued_at"]
    issue_receipt(home, body)  # signed with the right key by code that lies
    assert "says fail" in why_not(home, candidate)


def test_an_empty_eval_split_is_said_so(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance, trained_adapter: Path
) -> None:
    candidate = open_new(home, recipe, trained_adapter, held_out=[])
    result = materialize(home, recipe, candidate, instance)
    assert not result.success
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "eval split has no row" in str(failure.event_specific_data)
    assert find_receipt(home, recipe.model, candidate.key) is None


def why_not(home: Home, candidate: object) -> str:
    from ft_assets.errors import Refused

    with pytest.raises(Refused) as refusal:
        read_verdict(home, candidate)  # type: ignore[arg-type]
    return str(refusal.value)
