"""The report of one evaluation: per-row results, scores, verdict, and a page for people."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.evaluation.comparison import as_json
from ft_assets.evaluation.gate import Verdict, decide
from ft_assets.evaluation.honesty.findings import honesty_rules, read_tested
from ft_assets.evaluation.html_page import html_page
from ft_assets.evaluation.job import EvaluationJob
from ft_assets.evaluation.judgement import Judgement
from ft_assets.evaluation.measure import measures
from ft_assets.evaluation.page import page
from ft_assets.evaluation.past import for_receipt, past_of, rows_digest
from ft_assets.evaluation.receipts import Receipt, issue_receipt
from ft_assets.splitting.contamination import search, trained_rows
from ft_assets.splitting.retirement import retire
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.code import code_digest
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of


@dataclass(frozen=True)
class Report:
    """A judgement as it was written. `digest` is that of the report's artifact."""

    digest: str
    judged: Judgement
    receipt: Receipt


def make_report(home: Home, candidate: Candidate, job: EvaluationJob) -> Report:
    """Search for contamination, judge, write the report, and sign the verdict, whatever it is.

    Raises:
        Refused: something that the candidate or an ancestor trained on is missing or was changed.
    """
    judged = _judge(home, candidate, job)
    digest = home.artifacts.write("reports", lambda folder: _write(folder, job, judged))
    receipt = issue_receipt(home, _receipt_body(home, job, judged, digest))
    retire(home, candidate, judged.matches)  # after the receipt, so that this verdict is marked too
    return Report(digest, judged, receipt)


def _judge(home: Home, candidate: Candidate, job: EvaluationJob) -> Judgement:
    gate, settings = candidate.recipe.gate, candidate.recipe.evaluation
    eval_rows = pq.read_table(job.rows[1] / "rows.parquet")
    trained = trained_rows(home, candidate)
    matches = search(eval_rows, trained, gate.contamination_jaccard, gate.contamination_similarity)
    rows, tasks, tested = pq.read_table(job.output), _retention(job), read_tested(job)
    found = honesty_rules(job.honesty.settings, rows, tested) if job.honesty and tested else ()
    verdict = decide(
        rows,
        measures(settings),
        gate,
        matches,
        eval_rows.num_rows,
        candidate.incumbent is not None,
        tasks,
        settings.retention.margin if settings.retention else 0.0,
        past_of(home, candidate, rows_digest(_ids(rows))),
        [*found],
    )
    digests = _digests(home, candidate, job)
    return Judgement(candidate, rows, verdict, matches, eval_rows.num_rows, tasks, tested, digests)


def _write(folder: Path, job: EvaluationJob, judged: Judgement) -> None:
    """Fill the report's folder. No times and no places: the same judgement must give the same bytes."""
    shutil.copyfile(job.output, folder / "rows.parquet")
    for file in (job.retention, job.asked, job.exposed):
        if file.exists():
            shutil.copyfile(file, folder / file.name)
    _write_json(folder / "scores.json", _scores(judged.verdict))
    _write_json(folder / "gate.json", _gate(judged))
    text = page(judged)
    (folder / "report.md").write_text(text)
    (folder / "report.html").write_text(html_page(text, judged))


def _scores(verdict: Verdict) -> dict[str, Any]:
    return {
        "means": verdict.table(),
        "scores": [as_json(score) for score in verdict.scores],
        "differences": [as_json(difference) for difference in [*verdict.differences, *verdict.parts]],
    }


def _gate(judged: Judgement) -> dict[str, Any]:
    candidate, verdict = judged.candidate, judged.verdict
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
            "checked": judged.checked,
            "found": judged.contaminated,
            "matches": [asdict(match) for match in judged.matches],
        },
    }


def _receipt_body(home: Home, job: EvaluationJob, judged: Judgement, digest: str) -> dict[str, Any]:
    verdict = judged.verdict
    return {
        "model": judged.candidate.model,
        "candidate": judged.candidate.key,
        **{f"{what}_digest": found for what, found in judged.digests.items()},
        "report_digest": digest,
        "code_digest": code_digest(),
        "verdict": verdict.verdict,
        "reasons": verdict.reasons,
        "scores": verdict.table(),
        "contamination": {"checked": judged.checked, "found": judged.contaminated},
        **for_receipt(_ids(judged.rows), job.epoch, verdict.power.here if verdict.power else None),
    }


def _digests(home: Home, candidate: Candidate, job: EvaluationJob) -> dict[str, str]:
    """Sha256 of what is judged, and by which recipe."""
    adapters = {arm.name: arm.adapter[0] for arm in job.arms if arm.adapter}
    return {
        "adapter": adapters["candidate"],
        "base": job.base[0],
        "dataset": artifact_of(home, candidate.model, "dataset", candidate.key)[0],
        "eval": job.rows[0],
        "recipe": candidate.recipe.digest(),
    }


def _ids(rows: pa.Table) -> set[str]:
    return set(rows["id"].to_pylist())


def _retention(job: EvaluationJob) -> pa.Table | None:
    return pq.read_table(job.retention) if job.settings.retention else None


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
