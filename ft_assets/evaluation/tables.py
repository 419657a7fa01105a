"""Markdown for people: what was measured, and what the models said."""

from collections.abc import Iterable, Sequence
from math import isfinite

import pyarrow as pa

from ft_assets.evaluation.comparison import METRICS, Arm, Difference, Metric, Results, Score
from ft_assets.evaluation.statistics import Interval
from ft_assets.splitting.contamination import Match

_HEADS: dict[Metric, tuple[str, float]] = {
    "loss": ("loss, nats a token", 1.0),
    "chrf": ("chrF, 0-100", 1.0),
    "exact": ("exact matches, %", 100.0),
    "format_ok": ("well-formed, %", 100.0),
}
_SHOWN_CHARS = 240
_SHOWN_MATCHES = 50


def scores_table(scores: Sequence[Score]) -> str:
    """One line an arm, one column a metric, each with its interval."""
    metrics: list[Metric] = [metric for metric in METRICS if any(score.metric == metric for score in scores)]
    found = {(score.arm, score.metric): score.interval for score in scores}
    arms = list(dict.fromkeys(score.arm for score in scores))
    lines = ([arm, *(_cell(found.get((arm, metric)), metric) for metric in metrics)] for arm in arms)
    return _table(["arm", *(_HEADS[metric][0] for metric in metrics)], lines)


def differences_table(differences: Sequence[Difference]) -> str:
    """Candidate less base or incumbent, paired by row."""
    lines = (
        [
            one.against,
            _HEADS[one.metric][0],
            _cell(one.interval, one.metric, sign="+"),
            str(one.interval.clusters),
        ]
        for one in differences
    )
    return _table(["candidate minus", "metric", "difference", "clusters"], lines)


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
    table = _table(["eval row", "trained row", "how", "similarity", "source", "batch"], lines)
    more = len(matches) - _SHOWN_MATCHES
    return f"{table}\n\n… and {more} more in gate.json." if more > 0 else table


def answers_table(rows: pa.Table, most: int) -> str:
    """The rows whose chrF changed most from base to candidate, the best and the worst, side by side."""
    results = Results(rows)
    ours, base = results.values("candidate", "chrf"), results.values("base", "chrf")
    assert ours is not None and base is not None
    order = sorted(range(len(results.ids)), key=lambda at: (base[at] - ours[at], results.ids[at]))
    half = max(1, most // 2)
    chosen = order if len(order) <= 2 * half else [*order[:half], *order[-half:]]
    columns = {arm: results.answers(arm) for arm in results.arms}
    prompts, references = _texts(rows)
    lines = (
        [
            f"{ours[at] - base[at]:+.1f}",
            prompts[results.ids[at]],
            references[results.ids[at]],
            *(answers[at] for answers in columns.values()),
        ]
        for at in chosen
    )
    return _table(["chrF", "prompt", "reference", *columns], lines)


def slices_table(rows: pa.Table) -> str:
    """Mean loss of each arm by slice. Slices are small: they show where to look, and prove nothing."""
    results = Results(rows)
    slices = _by_id(rows, "slice")
    names = sorted({slices[id] for id in results.ids})
    lines = []
    for name in names:
        members = [at for at, id in enumerate(results.ids) if slices[id] == name]
        lines.append([name, str(len(members)), *(_mean(results, arm, members) for arm in results.arms)])
    return _table(["slice", "rows", *(f"{arm} loss" for arm in results.arms)], lines)


def _mean(results: Results, arm: Arm, members: Sequence[int]) -> str:
    losses = results.values(arm, "loss")
    assert losses is not None
    return f"{losses[members].mean():.3f}"


def _texts(rows: pa.Table) -> tuple[dict[str, str], dict[str, str]]:
    return _by_id(rows, "prompt"), _by_id(rows, "reference")


def _by_id(rows: pa.Table, column: str) -> dict[str, str]:
    return dict(zip(rows["id"].to_pylist(), rows[column].to_pylist(), strict=True))


def _cell(interval: Interval | None, metric: Metric, sign: str = "") -> str:
    if interval is None:
        return "not a number"
    scale, digits = _HEADS[metric][1], 3 if metric == "loss" else 1
    mean = f"{scale * interval.mean:{sign}.{digits}f}"
    if not isfinite(interval.low):
        return f"{mean} (one cluster: no interval)"
    return f"{mean} [{scale * interval.low:{sign}.{digits}f}, {scale * interval.high:{sign}.{digits}f}]"


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join([_line(heads), _line(["---"] * len(heads)), *map(_line, lines)])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_plain, cells))} |"


def _plain(text: str) -> str:
    """Text that cannot break out of its cell, nor be read as markup or HTML."""
    short = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]} …"
    for raw, safe in (
        ("&", "&amp;"),
        ("<", "&lt;"),
        (">", "&gt;"),
        ("|", "&#124;"),
        ("`", "&#96;"),
        ("*", "&#42;"),
    ):
        short = short.replace(raw, safe)
    return "<br>".join(short.splitlines())
