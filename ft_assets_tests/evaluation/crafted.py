"""Per-row results made to measure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ft_assets.evaluation.comparison import result_schema
from ft_assets.evaluation.measure import measures
from ft_assets.recipe_evaluation import Evaluation
from ft_assets.recipe_metrics import Chrf, Exact
from ft_assets.splitting.contamination import Match

MEASURED = measures(Evaluation(metrics=[Chrf(), Exact()]))


def results(
    arms: dict[str, dict[str, Any]],
    rows: int = 30,
    noise: float = 0.02,
    clusters: int | None = None,
    slices: Sequence[str] = ("api", "cli"),
) -> pa.Table:
    """Results of `rows` rows, whose slices take turns.

    Each arm says its `answer`, and for each metric a mean (`loss`, `chrf`; ten times the noise on the latter), a
    share of right answers from the first row on (`exact`), a list of values, or None where the metric applies to
    no row.
    """
    random = np.random.default_rng(1)
    made = []
    for arm, says in arms.items():
        scores = {
            "loss": _noisy(says.get("loss", 3.0), rows, noise, random),
            "chrf": _noisy(says.get("chrf", 50.0), rows, 10 * noise, random),
            "exact": _right(says.get("exact", 1.0), rows),
        }
        for at in range(rows):
            made.append(
                {
                    "arm": arm,
                    "id": f"row{at:03}",
                    "slice": slices[at % len(slices)],
                    "cluster": f"row{at % (clusters or rows):03}",
                    "prompt": f"prompt | {at}",
                    "reference": "Return it.",
                    "answer": says.get("answer", "Return <b>it</b>."),
                    "answer_tokens": 4,
                    **{name: values[at] for name, values in scores.items()},
                }
            )
    return pa.Table.from_pylist(made, schema=result_schema(MEASURED))


def match(at: int = 0) -> Match:
    return Match(f"row{at:03}", f"seen{at:03}", "near", 0.91, "leak.jsonl", "20261121T1005-ab12cd34")


def _noisy(says: Any, rows: int, noise: float, random: np.random.Generator) -> list[float | None]:
    scatter = noise * random.standard_normal(rows)
    if isinstance(says, list):
        return says
    return [None if says is None else says + float(off) for off in scatter]


def _right(says: Any, rows: int) -> list[float | None]:
    if isinstance(says, list):
        return says
    return [None if says is None else float(at < says * rows) for at in range(rows)]
