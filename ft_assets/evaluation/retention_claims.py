"""What the tuning may not have unlearned: one claim a task."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from ft_assets.evaluation.claim import Claim
from ft_assets.evaluation.comparison import Results
from ft_assets.evaluation.measure import Measure
from ft_assets.recipe_evaluation import Gate


def retention_claims(table: pa.Table, margin: float, gate: Gate) -> Iterator[Claim]:
    """That the candidate loses no more than `margin` to the base on any task.

    Args:
        table: columns arm (base, candidate), id, task, and score, within 0 and 1.
        margin: share that may be lost.
        gate: confidence and resamples.

    Raises:
        Refused: the arms have other rows, or a score in one arm only.
    """
    named = zip(table["task"].to_pylist(), table["id"].to_pylist(), strict=True)
    ids = [f"{task}/{id}" for task, id in named]
    results = Results(
        pa.table(
            {
                "arm": table["arm"],
                "id": ids,
                "slice": table["task"],
                "cluster": ids,
                "retention": table["score"].cast(pa.float64()),
            }
        )
    )
    scores = results.values("base", "retention"), results.values("candidate", "retention")
    tasks = np.asarray(results.slices, dtype=object)
    for task in sorted(set(results.slices)):
        within = tasks == task
        yes_no = all(np.isin(values[within], (0.0, 1.0)).all() for values in scores)
        measure = Measure("retention", task, "percentage points", True, 0.0, margin, yes_no, 100.0)
        difference = results.difference("base", measure, -margin, gate, f"task {task}", within)
        if difference is not None:
            yield Claim(f"retention_vs_base:{task}", measure, difference)
