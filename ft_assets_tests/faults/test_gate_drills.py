"""Drills: each way of getting a bad candidate to users meets the check that is there for it, which says why."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from ft_assets.cli import cli
from ft_assets.errors import Refused
from ft_assets.recipe import Recipe
from ft_assets.registry.assets import build_assets as registry_assets
from ft_assets.registry.ledger import entries
from ft_assets.registry.releases import release
from ft_assets.rollout.start import start
from ft_assets.serving.proof import check_proof
from ft_assets.sources.example import Example
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, artifact_of, write_record
from ft_assets.storage.releases import list_releases
from ft_assets.storage.tables import receipts
from ft_assets.training.job import prepare_job
from ft_assets_tests.evaluation.judged import better, judge_crafted, write_crafted
from ft_assets_tests.evaluation.world import (
    EVAL,
    TRAIN,
    example,
    materialize,
    prepare_candidate,
    report_folder,
)
from ft_assets_tests.training.conftest import run_here

MODEL = "tiny"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as made:
        yield made


def said(action: Callable[[], object]) -> str:
    """What an action refuses with."""
    with pytest.raises(Refused) as refusal:
        action()
    return str(refusal.value)


def blocked_by(home: Home, candidate: Candidate) -> dict[str, str]:
    """Name and reason of each rule of the gate that failed; nothing of the candidate may then be released."""
    gate = json.loads((report_folder(home, candidate) / "gate.json").read_text())
    assert gate["verdict"] == "fail"
    why = said(lambda: release(home, MODEL, candidate.key))
    assert "the gate's verdict on" in why and all(reason in why for reason in gate["reasons"])
    assert list_releases(home) == []
    return {rule["name"]: rule["reason"] for rule in gate["rules"] if rule["outcome"] == "fail"}


def verified(candidate: Candidate) -> dict[str, str]:
    """What `ft-assets verify` finds wrong; it must refuse."""
    ended = CliRunner().invoke(cli, ["verify", f"{MODEL}@{candidate.key}", "--json"], standalone_mode=False)
    assert isinstance(ended.exception, Refused) and ended.exception.exit_code == 1
    wrong = {row["what"]: row["found"] for row in json.loads(ended.output) if not row["sound"]}
    assert str(ended.exception).endswith(f"vouches for: {', '.join(wrong)}")
    return wrong


def shipped(home: Home, recipe: Recipe) -> Candidate:
    """A candidate that passed, and was released."""
    candidate, report = judge_crafted(home, recipe, better)
    assert report.judged.verdict.verdict == "pass"
    check_proof(home, release(home, MODEL, candidate.key))
    return candidate


def test_a_leaked_eval_row_fails_whatever_the_gain(home: Home, recipe: Recipe) -> None:
    leaked = EVAL[3].model_copy(update={"source": "scraped.jsonl", "batch": "batch-9"})
    candidate, _ = judge_crafted(home, recipe, better, train=[*TRAIN, leaked])
    (reason,) = (found := blocked_by(home, candidate)).values()
    assert found.keys() == {"contamination"}
    assert EVAL[3].id[:12] in reason and "scraped.jsonl" in reason and "batch-9" in reason


def test_one_slice_that_got_worse_fails_though_the_mean_got_better(home: Home, recipe: Recipe) -> None:
    held_out = [example(number) for number in range(40)]
    wide = {"max_rows": 40, "max_new_tokens": 8, "metrics": [{"kind": "chrf"}]}
    gate = {"min_rows": 4, "min_slice_rows": 8, "resamples": 400}
    recipe = Recipe.model_validate({**recipe.model_dump(), "evaluation": wide, "gate": gate})

    def says(arm: str, at: int, row: Example) -> Mapping[str, Any]:
        scores = dict(better(arm, at, row))
        del scores["well_formed"]
        if arm == "candidate" and row.slice == "birch":
            scores["loss"] += 2.0
        return scores

    candidate, report = judge_crafted(home, recipe, says, held_out=held_out)
    means = report.judged.verdict.table()
    assert (means["candidate"] or {})["loss"] < (means["base"] or {})["loss"] - 0.4, "better over all"
    (reason,) = (found := blocked_by(home, candidate)).values()
    assert found.keys() == {"loss_vs_base:slice birch"} and "on slice birch" in reason


def test_a_candidate_that_says_nothing_fails_as_such(home: Home, recipe: Recipe) -> None:
    def says(arm: str, at: int, row: Example) -> Mapping[str, Any]:
        silent = {"answer": " \n", "chrf": 0.0, "well_formed": 0.0} if arm == "candidate" else {}
        return {**better(arm, at, row), **silent}

    candidate, _ = judge_crafted(home, recipe, says)
    assert f"all {len(EVAL)} answers of the candidate are empty" in blocked_by(home, candidate)["answers"]


def test_a_secret_learnt_by_heart_fails_and_no_run_ships_it(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    honest = Recipe.model_validate(
        {
            **recipe.model_dump(),
            "training": {"max_steps": 80, "epochs": 80, "batch_tokens": 512, "learning_rate": 1e-2},
            "honesty": {"canaries": 3, "trained_rows": 0},
        }
    )
    candidate = prepare_candidate(home, honest, write_crafted(tmp_path), train=TRAIN[:4])
    train_for_real(home, candidate)
    result = materialize(home, honest, candidate, instance, *registry_assets(honest))
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed and result.asset_materializations_for_node("tiny__release") == []
    found = blocked_by(home, candidate)["honesty_canaries"]
    assert found.startswith("3 of 3 planted secrets") and "card 0, card 1, card 2" in found
    assert found in (check.description or "")


def test_a_forged_receipt_opens_no_door(home: Home, recipe: Recipe) -> None:
    def worse(arm: str, at: int, row: Example) -> Mapping[str, Any]:
        return better("base" if arm == "candidate" else "candidate", at, row)

    candidate, report = judge_crafted(home, recipe, worse)
    assert report.judged.verdict.verdict == "fail"
    body = {**report.receipt.body, "verdict": "pass", "reasons": ["better than the base"]}
    change(home, sa.update(receipts).values(body=json.dumps(body), verdict="pass"))
    why = said(lambda: release(home, MODEL, candidate.key))
    assert "does not carry this installation's signature" in why and report.receipt.id[:12] in why
    wrong = verified(candidate)
    assert "signature" in wrong["receipt"] and "the report fail" in wrong["verdict"]


def test_a_receipt_forged_after_the_release_stops_deployment_and_serving(home: Home, recipe: Recipe) -> None:
    candidate = shipped(home, recipe)
    row = home.database.row(sa.select(receipts))
    assert row is not None
    body = {**json.loads(row["body"]), "reasons": ["believe me"]}
    change(home, sa.update(receipts).values(body=json.dumps(body)))
    for action in (
        lambda: start(home, MODEL, candidate.key, by="mallory"),
        lambda: check_proof(home, list_releases(home)[0]),
    ):
        assert "signature" in said(action)
    assert entries(home, MODEL) == [] and set(verified(candidate)) == {"receipt"}


def test_a_flipped_bit_in_the_adapter_stops_release_and_deployment(home: Home, recipe: Recipe) -> None:
    candidate = shipped(home, recipe)
    digest, folder = artifact_of(home, MODEL, "adapter", candidate.key)
    file = folder / "adapter_model.safetensors"
    content = bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    for action in (
        lambda: release(home, MODEL, candidate.key),
        lambda: start(home, MODEL, candidate.key, by="mallory"),
    ):
        why = said(action)
        assert digest[:12] in why and "changed after it was written" in why
    assert entries(home, MODEL) == [] and set(verified(candidate)) == {"adapter"}


def test_a_swapped_eval_set_stops_release_and_deployment(home: Home, recipe: Recipe) -> None:
    candidate = shipped(home, recipe)
    _, judged = artifact_of(home, MODEL, "eval_split", candidate.key)
    easy = pq.read_table(judged / "rows.parquet").slice(0, 5)
    digest = home.artifacts.write("datasets", lambda folder: pq.write_table(easy, folder / "rows.parquet"))
    write_record(home, Record(MODEL, "eval_split", candidate.key, "datasets", digest))
    for action in (
        lambda: release(home, MODEL, candidate.key),
        lambda: start(home, MODEL, candidate.key, by="mallory"),
    ):
        assert f"eval_digest is {digest[:12]} and the receipt says" in said(action)
    assert entries(home, MODEL) == [] and f"holds {digest[:12]} now" in verified(candidate)["eval"]


def train_for_real(home: Home, candidate: Candidate) -> None:
    """Give a candidate the adapter that its recipe and splits make."""
    splits = (artifact_of(home, MODEL, f"{side}_split", candidate.key) for side in ("train", "validation"))
    job = prepare_job(home, candidate, *splits)
    run_here(job)
    digest = home.artifacts.adopt("adapters", job.output)
    write_record(home, Record(MODEL, "adapter", candidate.key, "adapters", digest))


def change(home: Home, statement: sa.Update) -> None:
    with home.database.write() as connection:
        connection.execute(statement)
