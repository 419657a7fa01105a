"""Markdown for people: what was measured, and what the models said."""

from collections.abc import Sequence
from math import isfinite

import numpy as np
import pyarrow as pa

from ft_assets.evaluation.comparison import Arm, Difference, Results, Score
from ft_assets.evaluation.markdown import table
from ft_assets.evaluation.measure import Measure
from ft_assets.evaluation.metrics.label import NO_LABEL, Classification, classify, is_label
from ft_assets.evaluation.statistics import Interval
from ft_assets.recipe_metrics import Label
from ft_assets.splitting.contamination import Match

_SHOWN_MATCHES = 50


def scores_table(scores: Sequence[Score], measured: Sequence[Measure]) -> str:
    """One line an arm, one column a metric, each with its interval."""
    shown = [measure for measure in measured if any(score.metric == measure.name for score in scores)]
    found = {(score.arm, score.metric): score.interval for score in scores}
    arms = list(dict.fromkeys(score.arm for score in scores))
    lines = ([arm, *(_cell(found.get((arm, each.name)), each) for each in shown)] for arm in arms)
    return table(["arm", *(each.title for each in shown)], lines)


def differences_table(differences: Sequence[Difference], measured: Sequence[Measure]) -> str:
    """Candidate less base or incumbent, paired by row."""
    by_name = {measure.name: measure for measure in measured}
    lines = (
        [
            one.against,
            by_name[one.metric].title,
            one.part or "all rows",
            _cell(one.interval, by_name[one.metric], sign="+"),
            str(one.interval.rows),
            str(one.interval.clusters),
        ]
        for one in differences
    )
    return table(["candidate minus", "metric", "of", "difference", "rows", "clusters"], lines)


def contamination_table(matches: Sequence[Match]) -> str:
    """Eval rows that were trained on, and where the copies came from."""
    if not matches:
        return "None found."
    lines = (
        [
            one.eval_id,
            one.trained_id,
            one.kind,
            f"{one.similarity:.2f}",
            one.trained_source,
            one.trained_batch or "unknown",
        ]
        for one in matches[:_SHOWN_MATCHES]
    )
    shown = table(["eval row", "trained row", "how", "similarity", "source", "batch"], lines)
    more = len(matches) - _SHOWN_MATCHES
    return f"{shown}\n\n… and {more} more in gate.json." if more > 0 else shown


def answers_tables(rows: pa.Table, measured: Sequence[Measure], most: int) -> str:
    """The answers that changed most from base to candidate, side by side: those that got better, then worse ones.

    By the first metric of the answers; where there is none, by the loss.

    Args:
        most: rows in both tables.
    """
    measure = measured[min(1, len(measured) - 1)]
    results = Results(rows)
    gains = measure.sign * measure.scale * _change(results, measure)
    order = sorted(
        np.flatnonzero(np.isfinite(gains)).tolist(), key=lambda at: (-abs(gains[at]), results.ids[at])
    )
    half = max(1, most // 2)
    better = [at for at in order if gains[at] > 0][:half]
    worse = [at for at in order if gains[at] < 0][:half]
    return "\n\n".join(
        f"### {words}, by {measure.title}\n\n{_side_by_side(rows, results, measure, gains, chosen)}"
        for words, chosen in (("Better", better), ("Worse", worse))
    )


def slices_table(rows: pa.Table, measure: Measure) -> str:
    """Mean of one metric of each arm by slice. Slices are small: they show where to look, and prove nothing."""
    results = Results(rows)
    slices, applies = np.asarray(results.slices), results.applies(measure.name)
    lines = []
    for name in sorted(set(results.slices)):
        members = np.flatnonzero((slices == name) & applies)
        means = (_mean(results, arm, members, measure) for arm in results.arms)
        lines.append([name, str(members.size), *means])
    return table(["slice", "rows", *(f"{arm}: {measure.title}" for arm in results.arms)], lines)


def labels_tables(rows: pa.Table, metric: Label) -> str:
    """For each arm: how well each label is told from the others, and what was answered in its place."""
    return "\n\n".join(
        f"### {arm}\n\n{_label_scores(found)}\n\n{_confusion(found)}"
        for arm in Results(rows).arms
        if (found := _classified(rows, arm, metric)).confusion
    )


def retention_table(retention: pa.Table) -> str:
    """Share of right answers of base and candidate, by task."""
    marks: dict[tuple[str, str], list[float]] = {}
    for row in retention.to_pylist():
        marks.setdefault((row["task"], row["arm"]), []).append(row["score"])
    tasks = sorted({task for task, _ in marks})
    lines = (
        [
            task,
            str(len(marks[task, "base"])),
            *(f"{100 * float(np.mean(marks[task, arm])):.1f}" for arm in ("base", "candidate")),
        ]
        for task in tasks
    )
    return table(["task", "rows", "base: right, %", "candidate: right, %"], lines)


def _classified(rows: pa.Table, arm: Arm, metric: Label) -> Classification:
    said = [
        (row["answer"], row["reference"])
        for row in rows.select(["arm", "answer", "reference"]).to_pylist()
        if row["arm"] == arm and is_label(row["reference"], metric.labels)
    ]
    return classify([answer for answer, _ in said], [reference for _, reference in said], metric.labels)


def _label_scores(found: Classification) -> str:
    lines = (
        [one.label, *(f"{value:.2f}" for value in (one.precision, one.recall, one.f1)), str(one.support)]
        for one in found.scores
    )
    return table(["label", "precision", "recall", "F1", "rows"], lines)


def _confusion(found: Classification) -> str:
    heads = ["reference, answered as →", *found.confusion, NO_LABEL]
    return table(heads, ([label, *map(str, counts)] for label, counts in found.confusion.items()))


def _side_by_side(
    rows: pa.Table, results: Results, measure: Measure, gains: np.ndarray, chosen: Sequence[int]
) -> str:
    if not chosen:
        return "None."
    answers = {arm: results.answers(arm) for arm in results.arms}
    prompts, references = _by_id(rows, "prompt"), _by_id(rows, "reference")
    lines = (
        [
            f"{gains[at]:+.{_digits(measure)}f}",
            prompts[results.ids[at]],
            references[results.ids[at]],
            *(said[at] for said in answers.values()),
        ]
        for at in chosen
    )
    return table(["gain", "prompt", "reference", *answers], lines)


def _change(results: Results, measure: Measure) -> np.ndarray:
    return results.values("candidate", measure.name) - results.values("base", measure.name)


def _mean(results: Results, arm: Arm, members: np.ndarray, measure: Measure) -> str:
    values = results.values(arm, measure.name)[members]
    return f"{measure.scale * values.mean():.{_digits(measure)}f}" if values.size else "none"


def _by_id(rows: pa.Table, column: str) -> dict[str, str]:
    return dict(zip(rows["id"].to_pylist(), rows[column].to_pylist(), strict=True))


def _digits(measure: Measure) -> int:
    """Places after the point: a score from 0 to 100 needs one, a loss three."""
    return 1 if measure.scale == 100 or measure.unit.startswith("points") else 3


def _cell(interval: Interval | None, measure: Measure, sign: str = "") -> str:
    if interval is None:
        return "not a number"
    scale, digits = measure.scale, _digits(measure)
    mean = f"{scale * interval.mean:{sign}.{digits}f}"
    if not isfinite(interval.low):
        return f"{mean} (one cluster: no interval)"
    return f"{mean} [{scale * interval.low:{sign}.{digits}f}, {scale * interval.high:{sign}.{digits}f}]"
