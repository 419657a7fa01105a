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
from ft_assets.evaluation.gate import Verdict, decide
from ft_assets.evaluation.honesty.findings import found_by_honesty_tests
from ft_assets.evaluation.html_page import html_page
from ft_assets.evaluation.job import EvaluationJob
from ft_assets.evaluation.measure import measures
from ft_assets.evaluation.page import page
from ft_assets.evaluation.past import for_receipt, past_of, rows_digest
from ft_assets.evaluation.receipts import Receipt, issue_receipt
from ft_assets.splitting.contamination import Match, search, trained_rows
from ft_assets.splitting.retirement import retire
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.code import code_digest
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of


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
    settings, tasks = candidate.recipe.evaluation, _retention(job)
    ids = set(rows["id"].to_pylist())
    past = past_of(home, candidate, rows_digest(ids))
    verdict = decide(
        rows,
        measures(settings),
        gate,
        matches,
        eval_rows.num_rows,
        candidate.incumbent is not None,
        tasks,
        settings.retention.margin if settings.retention else 0.0,
        past,
        [*found_by_honesty_tests(job, rows)],
    )

    def write(folder: Path) -> None:
        # No times and no places: the same judgement must give the same bytes.
        shutil.copyfile(job.output, folder / "rows.parquet")
        _write_json(folder / "scores.json", _scores(verdict))
        _write_json(folder / "gate.json", _gate(candidate, verdict, matches, eval_rows.num_rows))
        for file in (job.retention, job.asked, job.exposed):
            if file.exists():
                shutil.copyfile(file, folder / file.name)
        text = page(candidate, rows, verdict, matches, eval_rows.num_rows, tasks)
        (folder / "report.md").write_text(text)
        title = f"{candidate.model} {candidate.key}"
        (folder / "report.html").write_text(html_page(text, title, verdict, gate.confidence))

    digest = home.artifacts.write("reports", write)
    body = _receipt_body(home, candidate, job, verdict, digest, ids)
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
        "differences": [as_json(difference) for difference in [*verdict.differences, *verdict.parts]],
    }


def _gate(candidate: Candidate, verdict: Verdict, matches: Sequence[Match], checked: int) -> dict[str, Any]:
    return {
        "model": candidate.model,
        "candidate": candidate.key,
        "incumbent": candidate.incumbent,
        "verdict": verdict.verdict,
        "reasons": verdict.reasons,
        "rules": [vars(rule) for rule in verdict.rules],
        "differences": [as_json(difference) for difference in [*verdict.differences, *verdict.parts]],
        "power": verdict.power_sentence,
        "settings": candidate.recipe.gate.model_dump(mode="json"),
        "contamination": {
            "checked": checked,
            "found": _found(matches),
            "matches": [asdict(match) for match in matches],
        },
    }


def _receipt_body(
    home: Home, candidate: Candidate, job: EvaluationJob, verdict: Verdict, digest: str, ids: set[str]
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
        **for_receipt(ids, job.epoch, verdict.power.here if verdict.power else None),
    }


def _retention(job: EvaluationJob) -> pa.Table | None:
    return pq.read_table(job.retention) if job.settings.retention else None


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
