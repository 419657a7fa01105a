"""Dagster layer of evaluation: the report of each candidate."""

from typing import Any

import dagster as dg

from ft_assets.evaluation.job import EvaluationJob, Outcome, prepare_job, read_outcome
from ft_assets.evaluation.markdown import bullets
from ft_assets.evaluation.report import Report, make_report
from ft_assets.evaluation.tables import answers_tables, contamination_table, differences_table, scores_table
from ft_assets.recipe import Recipe
from ft_assets.storage.assets import (
    WHEN_READY,
    HomeResource,
    asset_settings,
    candidate_partitions,
    hand_over,
    plain_failures,
    run_child,
    upstream,
)
from ft_assets.storage.candidates import get_candidate
from ft_assets.storage.meter import metered

_ANSWERS = 6


def build_assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """`<model>/eval_report`."""

    @dg.asset(
        **asset_settings(recipe, "eval_report", "evaluation", deps=["eval_split", recipe.final_adapter]),
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=WHEN_READY,
        pool="training",
        kinds={"pytorch"},
        description="Base, incumbent and candidate measured on the same held-out rows, and the gate's signed verdict.",
    )
    def eval_report(
        context: dg.AssetExecutionContext, home: HomeResource, pipes: dg.PipesSubprocessClient
    ) -> dg.MaterializeResult:
        state = home.open()
        with plain_failures():
            candidate = get_candidate(state, recipe.model, context.partition_key)
            # The adapter of the candidate's own recipe: the present one may have another last stage.
            inputs = ("eval_split", candidate.recipe.final_adapter)
            sources = (upstream(context, state, name) for name in inputs)
            job = prepare_job(state, candidate, *sources)
            whose = recipe.model, candidate.key
            with metered(state, whose, "evaluation", recipe.cost, job.work, context.run.run_id) as meter:
                run_child(context, pipes, "ft_assets.evaluation.worker", job.work / "job.json", job.log)
            outcome = read_outcome(job)
            report = make_report(state, candidate, job)
            metadata = {**_metadata(report, outcome, job), **meter.shown}
            page = state.artifacts.path("reports", report.digest) / "report.html"
            metadata["page"] = dg.MetadataValue.path(str(page))
            return hand_over(context, state, "reports", report.digest, metadata)

    return [eval_report]


def _metadata(report: Report, outcome: Outcome, job: EvaluationJob) -> dict[str, Any]:
    judged, verdict = report.judged, report.judged.verdict
    means = verdict.table()
    return {
        "verdict": verdict.verdict,
        "reasons": dg.MetadataValue.md(bullets(verdict.reasons)),
        "scores": dg.MetadataValue.md(scores_table(verdict.scores, verdict.measured)),
        "differences": dg.MetadataValue.md(differences_table(verdict.differences, verdict.measured)),
        "answers": dg.MetadataValue.md(answers_tables(judged.rows, verdict.measured, _ANSWERS)),
        "contamination": dg.MetadataValue.md(contamination_table(judged.matches)),
        "contaminated_rows": judged.contaminated,
        "checked_rows": judged.checked,
        **{f"{arm}_loss": score["loss"] for arm, score in means.items() if score and "loss" in score},
        "receipt": report.receipt.id,
        "seconds": outcome.seconds,
        "tokens_per_s": outcome.tokens_per_s,
        "rows_reused": outcome.rows_reused,
        "peak_memory_mb": outcome.peak_memory_mb,
        **_metric_facts(outcome),
        "log": dg.MetadataValue.path(str(job.log)),
    }


def _metric_facts(outcome: Outcome) -> dict[str, Any]:
    """What judges were asked and what they took, and how often functions of the recipe failed."""
    bills = {name: bill.model_dump(exclude_none=True) for name, bill in outcome.judges.items()}
    facts: dict[str, Any] = {f"{name}_judge": dg.MetadataValue.json(bill) for name, bill in bills.items()}
    failed = {name: count for name, count in outcome.function_failures.items() if count}
    return {**facts, **{f"{name}_failures": count for name, count in failed.items()}}
