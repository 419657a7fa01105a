"""A report with every sort of metric: what is in its tables, and what Dagster is told."""

import json
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from ft_assets.recipe import Recipe
from ft_assets.storage.home import Home
from ft_assets_tests.evaluation.metrics.judge_server import JudgeServer, longer
from ft_assets_tests.evaluation.tasks import write_tasks
from ft_assets_tests.evaluation.world import EVAL, materialize, prepare_candidate, report_folder

HERE = "ft_assets_tests.evaluation.metrics.functions"


def described(recipe: Recipe, url: str, tasks: Path) -> Recipe:
    metrics: list[dict[str, Any]] = [
        {"kind": "rouge_l"},
        {"kind": "label", "labels": sorted({example.answer for example in EVAL[:2]})},
        {"kind": "tool_calls"},
        {"kind": "json_schema", "schema": {"type": "object"}},
        {"kind": "python", "name": "odd", "function": f"{HERE}:broken", "margin": 1.0},
        {"kind": "judge", "url": url, "model": "judge", "rubric": "The longer, the better."}
        | {"price_per_million_tokens": 2.0},
    ]
    settings = {
        **recipe.evaluation.model_dump(),
        "max_rows": len(EVAL),
        "metrics": metrics,
        "retention": {"tasks": ["one"], "folder": str(tasks)},
    }
    return Recipe.model_validate(
        {**recipe.model_dump(), "evaluation": settings, "gate": {"min_rows": 4, "resamples": 200}}
    )


@pytest.mark.slow
def test_every_sort_of_metric_is_measured_judged_and_shown(
    home: Home, recipe: Recipe, trained_adapter: Path, tmp_path: Path
) -> None:
    with JudgeServer(longer).running() as server, dg.instance_for_test() as instance:
        recipe = described(recipe, server.url, write_tasks(tmp_path / "tasks"))
        candidate = prepare_candidate(home, recipe, trained_adapter)
        result = materialize(home, recipe, candidate, instance)
        asked = len(server.requests)
        materialize(home, recipe, candidate, instance)
        assert len(server.requests) == asked > 0, "a second evaluation asks the judge for nothing"

    folder = report_folder(home, candidate)
    rows = pq.read_table(folder / "rows.parquet").to_pylist()
    assert len(rows) == 2 * len(EVAL)
    labelled = {EVAL[0].answer, EVAL[1].answer}
    for row in rows:
        assert (row["label"] is None) == (row["reference"] not in labelled)
        assert row["tool_calls"] is None and row["json_schema"] == 0.0
        assert row["odd"] == (5.0 if row["answer"].strip() else 0.0)
        wins = len(row["answer"].strip()) > len(row["reference"])
        assert row["judge"] == float(wins and bool(row["answer"].strip()))

    page = (folder / "report.md").read_text()
    for heading in ("## Labels (label)", "### base", "### candidate", "## What it should still do"):
        assert heading in page
    assert "| one | 10 |" in page
    assert "ROUGE-L, 0-100" in page and "judged at least as good as the reference, %" in page
    names = {rule["name"] for rule in json.loads((folder / "gate.json").read_text())["rules"]}
    assert {
        "rouge_l_vs_base",
        "label_vs_base",
        "odd_vs_base",
        "judge_vs_base",
        "retention_vs_base:one",
    } <= names
    assert not any(name.startswith("tool_calls") for name in names)
    assert pq.read_table(folder / "retention.parquet").num_rows == 20

    (told,) = result.asset_materializations_for_node("tiny__eval_report")
    bill: Any = told.metadata["judge_judge"].value
    assert bill["asked"] == asked and bill["tokens"] == 100 * asked
    assert bill["money"] == pytest.approx(asked * 100 * 2.0 / 1e6)
