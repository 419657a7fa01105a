"""The evaluation process: what it keeps, and how it goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ft_assets.evaluation.cache import SaidCache
from ft_assets.evaluation.generation import Engine, Request
from ft_assets.evaluation.job import EvaluationJob, prepare_job, read_outcome
from ft_assets.evaluation.rows import EvalRow, in_batches, read_eval_rows
from ft_assets.evaluation.worker import ask, main
from ft_assets.recipe import Recipe
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of
from ft_assets_tests.evaluation.world import example, prepare_candidate


def make_job(home: Home, recipe: Recipe, adapter: Path, rows: int = 8, **settings: Any) -> EvaluationJob:
    changed = recipe.evaluation.model_copy(update={"max_rows": rows, **settings})
    recipe = recipe.model_copy(update={"evaluation": changed})
    held_out = [example(number) for number in range(rows)]
    candidate = prepare_candidate(home, recipe, adapter, held_out=held_out)
    split, mine = (artifact_of(home, recipe.model, name, candidate.key) for name in ("eval_split", "adapter"))
    return prepare_job(home, candidate, split, mine)


def test_every_result_is_what_the_engine_says_of_that_row(
    home: Home, recipe: Recipe, trained_adapter: Path
) -> None:
    job = make_job(home, recipe, trained_adapter, batch_size=3)
    assert main(job.work / "job.json") == 0
    results = pq.read_table(job.output).to_pylist()
    engine = Engine.load(job.base[1], "cpu")
    engine.add_adapter("candidate", trained_adapter)
    rows = {row.id: row for row in read_eval_rows(job.rows[1], 8)}
    assert len(results) == 16
    for result in results:
        adapter = "candidate" if result["arm"] == "candidate" else None
        turns = rows[result["id"]].turns
        ((nats, tokens),) = engine.score([turns], adapter)
        assert result["loss"] == pytest.approx(nats / tokens, rel=1e-5)
        assert result["answer_tokens"] == tokens
        (answer,) = engine.generate([Request(turns[:-1], adapter, job.settings.max_new_tokens)])
        assert result["answer"] == answer.text
    progress = json.loads(job.progress.read_text())
    assert (progress["rows_done"], progress["rows"], progress["seconds_left"]) == (16, 16, 0.0)


@pytest.mark.slow
def test_after_kill_9_it_goes_on_and_ends_with_the_same_results(
    home: Home, recipe: Recipe, trained_adapter: Path
) -> None:
    job = make_job(home, recipe, trained_adapter, rows=60, batch_size=1, max_new_tokens=24)
    command = [sys.executable, "-m", "ft_assets.evaluation.worker", str(job.work / "job.json")]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    for line in first.stdout:  # a line after every batch
        if "results, " in line:
            break
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert not job.output.exists()
    assert not job.outcome.exists()

    assert main(job.work / "job.json") == 0
    assert 0 < read_outcome(job).rows_reused < 120
    resumed = pq.read_table(job.output)
    clean = job.model_copy(update={"cache": home.scratch / "empty"})
    (job.work / "job.json").write_text(clean.model_dump_json())
    assert main(job.work / "job.json") == 0
    assert read_outcome(job).rows_reused == 0
    assert resumed.equals(pq.read_table(job.output))


def test_a_damaged_cache_file_is_measured_again(home: Home, recipe: Recipe, trained_adapter: Path) -> None:
    job = make_job(home, recipe, trained_adapter)
    assert main(job.work / "job.json") == 0
    whole = pq.read_table(job.output)
    damaged = sorted(job.cache.rglob("*.json"))[:3]
    for path, text in zip(damaged, ("", "{", "{}"), strict=True):
        path.write_text(text)
    assert main(job.work / "job.json") == 0
    assert read_outcome(job).rows_reused == 13
    again = pq.read_table(job.output)
    assert again.drop_columns(["loss"]).equals(whole.drop_columns(["loss"]))
    # The rows measured again had other neighbours in their batch, which float rounding shows.
    assert again["loss"].to_pylist() == pytest.approx(whole["loss"].to_pylist(), rel=1e-5)


def test_the_cache_tells_apart_all_that_changes_an_answer(
    home: Home, recipe: Recipe, trained_adapter: Path
) -> None:
    job = make_job(home, recipe, trained_adapter)
    base, candidate = job.arms
    row = read_eval_rows(job.rows[1], 1)[0]
    spaced = EvalRow(row.id, row.slice, row.cluster, ({**row.turns[0], "content": "  x"}, row.turns[1]))
    longer = job.settings.model_copy(update={"max_new_tokens": 9})
    paths = {
        SaidCache(job)._path(base, row),
        SaidCache(job)._path(candidate, row),
        SaidCache(job)._path(base, spaced),
        SaidCache(job.model_copy(update={"base": ("0" * 64, job.base[1])}))._path(base, row),
        SaidCache(job.model_copy(update={"settings": longer}))._path(base, row),
    }
    assert len(paths) == 5
    otherwise = job.settings.model_copy(update={"metrics": []})
    assert SaidCache(job.model_copy(update={"settings": otherwise}))._path(base, row) in paths


def test_a_row_longer_than_the_context_counts_as_a_guess_for_every_arm(
    home: Home, recipe: Recipe, trained_adapter: Path
) -> None:
    job = make_job(home, recipe, trained_adapter)
    engine = Engine.load(job.base[1], "cpu")
    engine.add_adapter("candidate", trained_adapter)
    short = read_eval_rows(job.rows[1], 1)[0]
    endless = {"role": "user", "content": "x" * engine.context}
    long = EvalRow("long", "s", "c", (endless, short.turns[1]))
    said = [ask(engine, arm, [long, short], 4) for arm in job.arms]
    assert said[0][0] == said[1][0]
    assert said[0][0].answer == ""
    assert [one[1] for one in said] == [ask(engine, arm, [short], 4)[0] for arm in job.arms]


def test_the_rows_of_lowest_id_are_used_and_batched_by_length(
    home: Home, recipe: Recipe, trained_adapter: Path
) -> None:
    job = make_job(home, recipe, trained_adapter, rows=20)
    ids = sorted(pq.read_table(job.rows[1] / "rows.parquet")["id"].to_pylist())
    rows = read_eval_rows(job.rows[1], 7)
    assert [row.id for row in rows] == ids[:7]
    batches = in_batches(rows, 3)
    assert [len(batch) for batch in batches] == [3, 3, 1]
    sizes = [row.size for batch in batches for row in batch]
    assert sizes == sorted(sizes, reverse=True)


def test_a_failure_is_told_in_words(home: Home, recipe: Recipe, trained_adapter: Path) -> None:
    from ft_assets.errors import BrokenEnvironment

    job = make_job(home, recipe, trained_adapter)
    with pytest.raises(BrokenEnvironment, match="killed"):
        read_outcome(job)
    (job.arms[1].adapter or ("", Path()))[1].joinpath("adapter_model.safetensors").unlink()
    assert main(job.work / "job.json") == 1
    with pytest.raises(BrokenEnvironment, match=r"no adapter_model\.safetensors"):
        read_outcome(job)


def test_it_stops_when_the_process_that_asked_is_gone(
    home: Home, recipe: Recipe, trained_adapter: Path
) -> None:
    from ft_assets.errors import BrokenEnvironment
    from ft_assets.evaluation.worker import evaluate

    job = make_job(home, recipe, trained_adapter)
    begun = time.monotonic()
    with pytest.raises(BrokenEnvironment, match="ended"):
        evaluate(job, lambda line: None, parent=-1)
    assert time.monotonic() - begun < 60
    assert not job.output.exists()
