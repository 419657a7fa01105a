"""The report's page for people."""

from collections.abc import Iterator

from ft_assets.evaluation.gate import Verdict, plain_verdict
from ft_assets.evaluation.honesty.section import honesty_section
from ft_assets.evaluation.judgement import Judgement
from ft_assets.evaluation.markdown import bullets, plain, table
from ft_assets.evaluation.measure import RETENTION_MEASURE
from ft_assets.evaluation.tables import (
    answers_tables,
    contamination_table,
    differences_table,
    labels_tables,
    retention_table,
    scores_table,
    slices_table,
)
from ft_assets.recipe_metrics import Label

_ANSWERS = 8
_NAMED = 3


def page(judged: Judgement) -> str:
    """Verdict, reasons, tables and samples, as Markdown. No times and no places: it is part of the artifact."""
    recipe, retention = judged.candidate.recipe, judged.retention
    labels = (metric for metric in recipe.evaluation.metrics if isinstance(metric, Label))
    sections = [
        _head(judged),
        *_metrics(judged),
        *(f"## Labels ({metric.called})\n\n{labels_tables(judged.rows, metric)}" for metric in labels),
        *([] if retention is None else [f"## What it should still do\n\n{retention_table(retention)}"]),
        *_honesty(judged),
        _contamination(judged),
        _origin(judged),
    ]
    return "\n\n".join(sections) + "\n"


def _head(judged: Judgement) -> str:
    candidate, verdict, rows = judged.candidate, judged.verdict, judged.rows
    plainly, why = plain_verdict(rows)
    against = f"the base and {plain(candidate.incumbent)}" if candidate.incumbent else "the base"
    return f"""# {candidate.model} {candidate.key}: {verdict.verdict}

**{_sentence(verdict)}**

Judged against {against} on {rows.num_rows // len(set(rows["arm"].to_pylist()))} held-out rows.
{plain(verdict.power_sentence)}

{bullets(verdict.reasons)}

A gate that only compares two means would have said: {plainly} ({plain(why)})."""


def _sentence(verdict: Verdict) -> str:
    """The verdict and what decided it."""
    count = len(verdict.rules)
    if verdict.verdict == "pass":
        return f"It may be released: all {count} rules of the gate hold."
    deciding = [rule.name for rule in verdict.rules if rule.outcome == verdict.verdict]
    named = ", ".join(map(plain, deciding[:_NAMED])) + (" …" if len(deciding) > _NAMED else "")
    if verdict.verdict == "fail":
        return f"It must not be released: {len(deciding)} of {count} rules of the gate failed ({named})."
    return f"It may not be released yet: on {len(deciding)} of {count} rules the gate cannot tell ({named})."


def _metrics(judged: Judgement) -> Iterator[str]:
    rows, verdict, gate = judged.rows, judged.verdict, judged.candidate.recipe.gate
    measured = verdict.measured
    primary = next(measure for measure in measured if measure.name == gate.primary)
    scores = scores_table(verdict.scores, measured)
    yield f"## Scores, with {gate.confidence:.0%} bootstrap intervals over clusters\n\n{scores}"
    yield f"## Differences, paired by row\n\n{differences_table(verdict.differences, measured)}"
    yield f"## The answers that changed most\n\n{answers_tables(rows, measured, _ANSWERS)}"
    yield f"## By slice\n\n{slices_table(rows, primary)}"
    if verdict.parts:
        parts = differences_table(verdict.parts, [*measured, RETENTION_MEASURE])
        yield f"## Differences of single parts\n\n{parts}"


def _honesty(judged: Judgement) -> Iterator[str]:
    if judged.tested is not None:
        yield honesty_section(judged.verdict.rules, judged.rows, judged.tested)


def _contamination(judged: Judgement) -> str:
    found = contamination_table(judged.matches)
    return f"## Contamination: {judged.contaminated} of {judged.checked} eval rows\n\n{found}"


def _origin(judged: Judgement) -> str:
    """Of what this is the report. Seconds and money are not the same twice, so they are told elsewhere."""
    name = f"{judged.candidate.model}@{judged.candidate.key}"
    lines = ([what.replace("_", " "), digest] for what, digest in judged.digests.items())
    asked = judged.tested.asked.num_rows if judged.tested else 0
    tokens = sum(judged.rows["answer_tokens"].to_pylist())
    return f"""## What was judged

{table(["what", "sha256"], lines)}

`ft-assets verify {name}` checks these bytes against the signed receipt.

The arms answered {judged.rows.num_rows} times on eval rows, whose references are {tokens} tokens, and {asked} times on
rows of the honesty tests. `ft-assets costs {judged.candidate.model}` says what that took in time and money."""
