"""The report's page for people."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from ft_assets.evaluation.gate import Verdict, plain_verdict
from ft_assets.evaluation.measure import Measure
from ft_assets.evaluation.tables import (
    answers_table,
    contamination_table,
    differences_table,
    labels_tables,
    retention_table,
    scores_table,
    slices_table,
)
from ft_assets.recipe_metrics import Label
from ft_assets.splitting.contamination import Match
from ft_assets.storage.candidates import Candidate

_ANSWERS = 8
_RETENTION = Measure(
    "retention", "right answers, %", "percentage points", up=True, worst=0.0, margin=0.0, scale=100.0
)


def page(
    candidate: Candidate,
    rows: pa.Table,
    verdict: Verdict,
    matches: Sequence[Match],
    checked: int,
    retention: pa.Table | None,
) -> str:
    """Verdict, reasons, tables and samples, as Markdown.

    Args:
        rows: per-row results (`result_schema`).
        checked: eval rows that were searched for among those trained on.
        retention: per-row results of the harness's tasks (`RETENTION_SCHEMA`); None where none were asked for.
    """
    found = len({match.eval_id for match in matches})
    sections = [
        _head(candidate, rows, verdict),
        *_metrics(candidate, rows, verdict),
        *(
            _labels(rows, metric)
            for metric in candidate.recipe.evaluation.metrics
            if isinstance(metric, Label)
        ),
        *([] if retention is None else [f"## What it should still do\n\n{retention_table(retention)}"]),
        f"## Contamination: {found} of {checked} eval rows\n\n{contamination_table(matches)}",
    ]
    return "\n\n".join(sections) + "\n"


def _head(candidate: Candidate, rows: pa.Table, verdict: Verdict) -> str:
    plain, why = plain_verdict(rows)
    against = f"the base and {candidate.incumbent}" if candidate.incumbent else "the base"
    reasons = "\n".join(f"- {reason}" for reason in verdict.reasons)
    return f"""# {candidate.model} {candidate.key}: {verdict.verdict}

Judged against {against} on {rows.num_rows // len(set(rows["arm"].to_pylist()))} held-out rows.
{verdict.power_sentence}

{reasons}

A gate that only compares two means would have said: {plain} ({why})."""


def _metrics(candidate: Candidate, rows: pa.Table, verdict: Verdict) -> Iterator[str]:
    gate, measured = candidate.recipe.gate, verdict.measured
    primary = next(measure for measure in measured if measure.name == gate.primary)
    scores = scores_table(verdict.scores, measured)
    yield f"## Scores, with {gate.confidence:.0%} bootstrap intervals over clusters\n\n{scores}"
    yield f"## Differences, paired by row\n\n{differences_table(verdict.differences, measured)}"
    answers = answers_table(rows, measured, _ANSWERS)
    yield f"## What the models said: the largest changes, best first\n\n{answers}"
    yield f"## By slice\n\n{slices_table(rows, primary)}"
    if verdict.parts:
        yield f"## Differences of single parts\n\n{differences_table(verdict.parts, [*measured, _RETENTION])}"


def _labels(rows: pa.Table, metric: Label) -> str:
    return f"## Labels ({metric.called})\n\n{labels_tables(rows, metric)}"
