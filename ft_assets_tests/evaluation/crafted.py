"""Per-row results made to measure."""

import numpy as np
import pyarrow as pa

from ft_assets.evaluation.comparison import RESULT_SCHEMA
from ft_assets.splitting.contamination import Match


def results(
    arms: dict[str, dict[str, object]], rows: int = 30, noise: float = 0.02, clusters: int | None = None
) -> pa.Table:
    """Results of `rows` rows; each arm says its mean `loss`, `chrf`, share `format_ok`, and `answer`."""
    random = np.random.default_rng(1)
    made = []
    for arm, means in arms.items():
        loss, score = float(means.get("loss", 3.0)), float(means.get("chrf", 50.0))  # type: ignore[arg-type]
        share = means.get("format_ok", 1.0)
        for at in range(rows):
            made.append(
                {
                    "arm": arm,
                    "id": f"row{at:03}",
                    "slice": f"slice{at % 3}",
                    "cluster": f"row{at % (clusters or rows):03}",
                    "prompt": f"prompt | {at}",
                    "reference": "Return it.",
                    "answer": str(means.get("answer", "Return <b>it</b>.")),
                    "loss": loss + noise * float(random.standard_normal()),
                    "answer_tokens": 4,
                    "chrf": score + 10 * noise * float(random.standard_normal()),
                    "exact": False,
                    "format_ok": None if share is None else at < float(share) * rows,  # type: ignore[arg-type]
                }
            )
    return pa.Table.from_pylist(made, schema=RESULT_SCHEMA)


def match(at: int = 0) -> Match:
    return Match(f"row{at:03}", f"seen{at:03}", "near", 0.91, "leak.jsonl", "20261121T1005-ab12cd34")
