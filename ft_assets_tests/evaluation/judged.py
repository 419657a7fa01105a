"""Candidates judged by the real report and gate, on results made to measure: no model is asked."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.evaluation.comparison import result_schema
from ft_assets.evaluation.honesty.findings import ASKED_SCHEMA
from ft_assets.evaluation.job import prepare_job
from ft_assets.evaluation.measure import measures
from ft_assets.evaluation.report import Report, make_report
from ft_assets.recipe import Recipe
from ft_assets.sources.example import Example
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, artifact_of, write_record
from ft_assets_tests.evaluation.world import EVAL, TRAIN, prepare_candidate

Says = Callable[[str, int, Example], Mapping[str, Any]]
"""What an arm is to have: its name, the row's place and the row; gives `answer`, and scores by metric."""


def judge_crafted(
    home: Home,
    recipe: Recipe,
    says: Says,
    train: Sequence[Example] = TRAIN,
    held_out: Sequence[Example] = EVAL,
    asked: Sequence[Mapping[str, Any]] = (),
    exposed: Sequence[Sequence[float]] = (),
) -> tuple[Candidate, Report]:
    """A candidate whose report is recorded, with its receipt.

    Args:
        asked: rows of `ASKED_SCHEMA`, where the recipe asks for honesty tests.
        exposed: losses of each planted secret, the planted one first.
    """
    candidate = prepare_candidate(home, recipe, write_crafted(home.scratch), train, held_out)
    sources = (artifact_of(home, recipe.model, name, candidate.key) for name in ("eval_split", "adapter"))
    job = prepare_job(home, candidate, *sources)
    rows = [
        {**_known(arm, row), **says(arm, at, row)}
        for arm in ("base", "candidate")
        for at, row in enumerate(sorted(held_out, key=lambda row: row.id))
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=result_schema(measures(recipe.evaluation))), job.output)
    pq.write_table(pa.Table.from_pylist([*asked], schema=ASKED_SCHEMA), job.asked)
    job.exposed.write_text(json.dumps(exposed))
    report = make_report(home, candidate, job)
    write_record(home, Record(recipe.model, "eval_report", candidate.key, "reports", report.digest))
    return candidate, report


def better(arm: str, at: int, row: Example) -> dict[str, Any]:
    """A candidate that is better on every row, not by the same on each."""
    gain = 1.0 + at % 3 / 10 if arm == "candidate" else 0.0
    return {"answer": row.answer, "loss": 3.0 - gain, "chrf": 50.0 + 10 * gain, "well_formed": 1.0}


def _known(arm: str, row: Example) -> dict[str, Any]:
    known = {"arm": arm, "id": row.id, "slice": row.slice, "cluster": row.id, "prompt": row.prompt}
    return {**known, "reference": row.answer, "answer_tokens": 8}


def write_crafted(folder: Path) -> Path:
    """Bytes in the place of an adapter's."""
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_text("weights")
    return folder
