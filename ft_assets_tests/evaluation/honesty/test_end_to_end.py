"""The honesty tests in a real evaluation: what is asked, kept and judged, and that a kill costs only what was open."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from ft_assets.errors import Refused
from ft_assets.evaluation.honesty.probes import KINDS, built_in
from ft_assets.evaluation.job import EvaluationJob, prepare_job, read_outcome
from ft_assets.evaluation.worker import main
from ft_assets.recipe import Recipe
from ft_assets.splitting.canaries import ALTERNATIVES, SOURCE
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of
from ft_assets_tests.evaluation.world import TRAIN, materialize, prepare_candidate, report_folder

ASKED = len(built_in()) + 24


@pytest.fixture
def honest(home: Home, recipe: Recipe) -> Recipe:
    """Three planted secrets that are the same in every run of the tests."""
    (home.scratch / "instance.secret").write_bytes(b"\7" * 32)
    return Recipe.model_validate({**recipe.model_dump(), "honesty": {"canaries": 3}})


def job_of(home: Home, candidate: Candidate) -> EvaluationJob:
    sources = (artifact_of(home, candidate.model, name, candidate.key) for name in ("eval_split", "adapter"))
    return prepare_job(home, candidate, *sources)


def test_every_test_is_asked_judged_and_kept_with_the_report(
    home: Home, honest: Recipe, trained_adapter: Path
) -> None:
    candidate = prepare_candidate(home, honest, trained_adapter)
    with dg.instance_for_test() as instance:
        materialize(home, honest, candidate, instance)
        folder = report_folder(home, candidate)
        again = materialize(home, honest, candidate, instance)
    assert report_folder(home, candidate) == folder, "the same judgement is the same artifact"
    (told,) = again.asset_materializations_for_node("tiny__eval_report")
    assert told.metadata["rows_reused"].value == 2 * (honest.evaluation.max_rows + ASKED)

    asked = pq.read_table(folder / "asked.parquet").to_pylist()
    assert {row["kind"] for row in asked} == {*KINDS, "trained"}
    assert len(asked) == len({(row["arm"], row["id"]) for row in asked}) == 2 * ASKED
    trained = {row["id"] for row in asked if row["kind"] == "trained"}
    assert trained == {row.id for row in sorted(TRAIN, key=lambda row: row.id)[:24]}, "no planted secret"
    losses = json.loads((folder / "exposed.json").read_text())
    assert [len(one) for one in losses] == [1 + ALTERNATIVES] * 3

    rules = {
        rule["name"]: rule["outcome"] for rule in json.loads((folder / "gate.json").read_text())["rules"]
    }
    wanted = {*(f"honesty_{kind}" for kind in KINDS), "honesty_pii", "honesty_memorised", "honesty_canaries"}
    assert wanted <= rules.keys()
    assert rules["honesty_canaries"] == "pass", "this adapter never saw them"
    page = (folder / "report.md").read_text()
    assert "## Honesty" in page and "| card 2 | " in page


@pytest.mark.slow
def test_after_kill_9_no_question_is_asked_twice(home: Home, honest: Recipe, trained_adapter: Path) -> None:
    evaluation = honest.evaluation.model_copy(update={"batch_size": 1})
    recipe = honest.model_copy(update={"evaluation": evaluation})
    job = job_of(home, prepare_candidate(home, recipe, trained_adapter))
    command = [sys.executable, "-m", "ft_assets.evaluation.worker", str(job.work / "job.json")]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    lines = (line for line in first.stdout if "results, " in line)  # one after every batch
    for _ in range(recipe.evaluation.max_rows + 2):
        next(lines)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert not job.asked.exists() and not job.exposed.exists()

    assert main(job.work / "job.json") == 0
    assert recipe.evaluation.max_rows < read_outcome(job).rows_reused < 2 * ASKED
    asked, exposed = pq.read_table(job.asked), json.loads(job.exposed.read_text())
    clean = job.model_copy(update={"cache": home.scratch / "empty"})
    (job.work / "job.json").write_text(clean.model_dump_json())
    assert main(job.work / "job.json") == 0
    assert asked.equals(pq.read_table(job.asked)) and exposed == json.loads(job.exposed.read_text())


def test_secrets_that_were_never_planted_are_not_found_unknown(
    home: Home, honest: Recipe, trained_adapter: Path
) -> None:
    candidate = prepare_candidate(home, honest, trained_adapter)
    (home.scratch / "instance.secret").write_bytes(b"\1" * 32)
    with pytest.raises(Refused, match="lacks 3 of 3 planted secrets"):
        job_of(Home(home.root), candidate)


def test_an_evaluation_without_the_section_asks_and_leaves_nothing(
    home: Home, recipe: Recipe, trained_adapter: Path
) -> None:
    job = job_of(home, prepare_candidate(home, recipe, trained_adapter))
    split = pq.read_table(artifact_of(home, "tiny", "train_split", job.candidate)[1] / "rows.parquet")
    assert not any(source.startswith(SOURCE) for source in split["source"].to_pylist())
    assert job.honesty is None
    assert main(job.work / "job.json") == 0
    assert not job.asked.exists() and not job.exposed.exists()
    assert json.loads(job.progress.read_text())["rows"] == 2 * recipe.evaluation.max_rows
