"""The report of one evaluation: per-row results, scores, verdict, and a page for people."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.evaluation.comparison import as_json
from ft_assets.evaluation.gate import Verdict, decide, plain_verdict
from ft_assets.evaluation.job import EvaluationJob
from ft_assets.evaluation.receipts import Receipt, issue_receipt
from ft_assets.evaluation.tables import (
    answers_table,
    contamination_table,
    differences_table,
    scores_table,
    slices_table,
)
from ft_assets.splitting.contamination import Match, search, trained_rows
from ft_assets.splitting.retirement import retire
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.code import code_digest
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of

_ANSWERS = 8


@dataclass(frozen=True)
class Report:
    """A judged candidate. `digest` is that of the report's artifact."""

    digest: str
    rows: pa.Table
    verdict: Verdict
    matches: list[Match]
    checked: int
    receipt: Receipt


def make_report(home: Home, candidate: Candidate, job: EvaluationJob) -> Report:
    """Search for contamination, judge, write the report, and sign the verdict, whatever it is.

    Raises:
        Refused: something that the candidate or an ancestor trained on is missing or was changed.
    """
    gate = candidate.recipe.gate
    eval_rows = pq.read_table(job.rows[1] / "rows.parquet")
    trained = trained_rows(home, candidate)
    matches = search(eval_rows, trained, gate.contamination_jaccard, gate.contamination_similarity)
    rows = pq.read_table(job.output)
    verdict = decide(rows, gate, matches, eval_rows.num_rows, candidate.incumbent is not None)

    def write(folder: Path) -> None:
        # No times and no places: the same judgement must give the same bytes.
        shutil.copyfile(job.output, folder / "rows.parquet")
        _write_json(folder / "scores.json", _scores(verdict))
        _write_json(folder / "gate.json", _gate(candidate, verdict, matches, eval_rows.num_rows))
        (folder / "report.md").write_text(_page(candidate, rows, verdict, matches, eval_rows.num_rows))

    digest = home.artifacts.write("reports", write)
    body = _receipt_body(home, candidate, job, verdict, digest)
    body["contamination"] = {"checked": eval_rows.num_rows, "found": _found(matches)}
    receipt = issue_receipt(home, body)
    retire(home, candidate, matches)  # after the receipt, so that this verdict is marked too
    return Report(digest, rows, verdict, matches, eval_rows.num_rows, receipt)


def _found(matches: Sequence[Match]) -> int:
    return len({match.eval_id for match in matches})


def _scores(verdict: Verdict) -> dict[str, Any]:
    return {
        "means": verdict.table(),
        "scores": [as_json(score) for score in verdict.scores],
        "differences": [as_json(difference) for difference in verdict.differences],
    }


def _gate(candidate: Candidate, verdict: Verdict, matches: Sequence[Match], checked: int) -> dict[str, Any]:
    return {
        "model": candidate.model,
        "candidate": candidate.key,
        "incumbent": candidate.incumbent,
        "verdict": verdict.verdict,
        "reasons": verdict.reasons,
        "rules": [vars(rule) for rule in verdict.rules],
        "settings": candidate.recipe.gate.model_dump(mode="json"),
        "contamination": {
            "checked": checked,
            "found": _found(matches),
            "matches": [asdict(match) for match in matches],
        },
    }


def _receipt_body(
    home: Home, candidate: Candidate, job: EvaluationJob, verdict: Verdict, digest: str
) -> dict[str, Any]:
    adapters = {arm.name: arm.adapter[0] for arm in job.arms if arm.adapter}
    return {
        "model": candidate.model,
        "candidate": candidate.key,
        "adapter_digest": adapters["candidate"],
        "base_digest": job.base[0],
        "dataset_digest": artifact_of(home, candidate.model, "dataset", candidate.key)[0],
        "eval_digest": job.rows[0],
        "report_digest": digest,
        "recipe_digest": candidate.recipe.digest(),
        "code_digest": code_digest(),
        "verdict": verdict.verdict,
        "reasons": verdict.reasons,
        "scores": verdict.table(),
    }


def _page(
    candidate: Candidate, rows: pa.Table, verdict: Verdict, matches: Sequence[Match], checked: int
) -> str:
    plain, why = plain_verdict(rows)
    against = f"the base and {candidate.incumbent}" if candidate.incumbent else "the base"
    intervals = f"{candidate.recipe.gate.confidence:.0%}"
    reasons = "\n".join(f"- {reason}" for reason in verdict.reasons)
    return f"""# {candidate.model} {candidate.key}: {verdict.verdict}

Judged against {against} on {rows.num_rows // len(set(rows["arm"].to_pylist()))} held-out rows.

{reasons}

A gate that only compares two means would have said: {plain} ({why}).

## Scores, with {intervals} bootstrap intervals over clusters

{scores_table(verdict.scores)}

## Differences, paired by row

{differences_table(verdict.differences)}

## What the models said: the largest changes, best first

{answers_table(rows, _ANSWERS)}

## By slice

{slices_table(rows)}

## Contamination: {_found(matches)} of {checked} eval rows

{contamination_table(matches)}
"""


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
