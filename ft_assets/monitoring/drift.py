"""The drift report: does what comes in still look like what the champion was trained on?"""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ft_assets.errors import BrokenEnvironment
from ft_assets.monitoring.plan import Test, plan_tests
from ft_assets.monitoring.samples import (
    MIN_ROWS,
    Sample,
    current_sample,
    reference_candidate,
    reference_sample,
)
from ft_assets.recipe import Recipe
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of, find_record

Figures = dict[str, Any]
"""What `drift.json` holds: `reference` (candidate), `reference_rows`, `current_rows`, `current` (where they come
from), `look`, `inputs` (digest of both samples), `columns` {name: {method, score, threshold, drifted}}, `drifted`,
`headline`. Without enough data `columns` is empty and `drifted` is false."""


def report_drift(home: Home, recipe: Recipe) -> tuple[str, Figures]:
    """Compare and write `drift.html` and `drift.json`. Returns the artifact's digest and its figures.

    The same samples give the artifact that they gave before, and count as one look.

    Raises:
        BrokenEnvironment: Evidently is not installed, or failed.
    """
    candidate = reference_candidate(home, recipe)
    if candidate is None:
        return _write(home, _nothing("no reference yet: no candidate's train split was made"))
    reference, current = reference_sample(home, candidate), current_sample(home, candidate)
    if min(reference.rows.num_rows, current.rows.num_rows) < MIN_ROWS:
        counts = f"{_count(reference)} and {_count(current)}, and {MIN_ROWS} of each are needed"
        return _write(home, _nothing(f"not enough data: {counts}"))
    inputs = _digest(reference, current)
    before = _latest(home, recipe.model, candidate.key)
    if before is not None and before[1]["inputs"] == inputs:
        return before
    look = 1 if before is None else before[1]["look"] + 1
    known = {"reference": candidate.key, "look": look, "inputs": inputs}
    return _compare(home, reference, current, known)


def _compare(home: Home, reference: Sample, current: Sample, known: Figures) -> tuple[str, Figures]:
    written: Figures = {}

    def fill(folder: Path) -> None:
        tests = plan_tests(reference.rows, current.rows, known["look"])
        columns = _run_worker(home, reference, current, tests, folder / "drift.html")
        written.update(known, **_summary(reference, current, columns))
        _write_json(folder, written)

    return home.artifacts.write("reports", fill), written


def _run_worker(
    home: Home, reference: Sample, current: Sample, tests: dict[str, Test], html: Path
) -> dict[str, Any]:
    """Let a child process import Evidently: it takes seconds and 300 MB, and neither may stay with the caller."""
    if importlib.util.find_spec("evidently") is None:
        raise BrokenEnvironment(
            "the drift report needs Evidently, which is not installed; pip install 'ft-assets[monitor]'"
        )
    with tempfile.TemporaryDirectory(dir=home.scratch, prefix="drift-") as name:
        folder = Path(name)
        pq.write_table(reference.rows, folder / "reference.parquet")
        pq.write_table(current.rows, folder / "current.parquet")
        files = {side: str(folder / f"{side}.parquet") for side in ("reference", "current")}
        outputs = {"html": str(html), "figures": str(folder / "figures.json")}
        spec = folder / "spec.json"
        spec.write_text(
            json.dumps({**files, **outputs, "tests": {key: asdict(test) for key, test in tests.items()}})
        )
        command = [sys.executable, "-m", "ft_assets.monitoring.worker", str(spec)]
        environment = {**os.environ, "DO_NOT_TRACK": "1"}
        child = subprocess.run(command, capture_output=True, text=True, env=environment)
        if child.returncode != 0:
            raise BrokenEnvironment(f"the drift worker failed:\n{child.stderr[-2_000:]}")
        return json.loads((folder / "figures.json").read_text())


def _summary(reference: Sample, current: Sample, columns: dict[str, Any]) -> Figures:
    drifted = [
        f"{name} ({column['method']}: {column['score']:.3g}, threshold {column['threshold']:.3g})"
        for name, column in columns.items()
        if column["drifted"]
    ]
    sides = f"between {_count(reference)} and {_count(current)}"
    calm = f"no drift in {', '.join(columns)} {sides}"
    return {
        "reference_rows": reference.rows.num_rows,
        "current_rows": current.rows.num_rows,
        "current": current.origin,
        "columns": columns,
        "drifted": bool(drifted),
        "headline": f"drift in {', '.join(drifted)} {sides}" if drifted else calm,
    }


def _nothing(headline: str) -> Figures:
    return {"reference_rows": 0, "current_rows": 0, "columns": {}, "drifted": False, "headline": headline}


def _write(home: Home, figures: Figures) -> tuple[str, Figures]:
    def fill(folder: Path) -> None:
        _write_json(folder, figures)
        page = f"<!doctype html><meta charset='utf-8'><title>Drift</title><p>{figures['headline']}</p>"
        (folder / "drift.html").write_text(page)

    return home.artifacts.write("reports", fill), figures


def _write_json(folder: Path, figures: Figures) -> None:
    (folder / "drift.json").write_text(json.dumps(figures, indent=1))


def _latest(home: Home, model: str, candidate: str) -> tuple[str, Figures] | None:
    """The latest report, if it compared something with the same reference."""
    if find_record(home, model, "drift_report") is None:
        return None
    digest, folder = artifact_of(home, model, "drift_report")
    figures = json.loads((folder / "drift.json").read_text())
    return (digest, figures) if figures.get("reference") == candidate else None


def _digest(reference: Sample, current: Sample) -> str:
    rows = [reference.rows.to_pylist(), current.origin, current.rows.to_pylist()]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _count(sample: Sample) -> str:
    return f"{sample.rows.num_rows} {sample.origin}"
