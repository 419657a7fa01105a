"""Invented results of two arms whose true difference is known."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ft_assets.evaluation.comparison import result_schema
from ft_assets.evaluation.measure import Measure, measures
from ft_assets.recipe_evaluation import Evaluation
from ft_assets.recipe_metrics import Chrf, Exact

LOSSES = measures(Evaluation(metrics=[Chrf()]))
YES_NO = measures(Evaluation(metrics=[Exact()]))

_CLUSTER_SIZES, _CLUSTER_CHANCES = (1, 2, 3, 6), (0.70, 0.18, 0.08, 0.04)
_SLICES = ("api", "cli", "errors", "tests", "rare")
_SLICE_CHANCES = (0.40, 0.28, 0.20, 0.07, 0.05)


@dataclass(frozen=True)
class Layout:
    """Which rows there are: the same in every gate of a scenario, as an eval split is.

    Attributes:
        clusters: number of each row's cluster, int64 of shape (rows,).
        slices: name of each row's slice, which all rows of a cluster share.
    """

    clusters: np.ndarray
    slices: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.clusters)

    @property
    def count(self) -> int:
        """Clusters."""
        return int(self.clusters[-1]) + 1

    def spread(self, values: np.ndarray) -> np.ndarray:
        """One value a row from one a cluster."""
        return values[self.clusters]


def clustered(rows: int, seed: int) -> Layout:
    """Clusters of one to six rows, in five slices of very unequal size."""
    random = np.random.default_rng(seed)
    sizes = random.choice(_CLUSTER_SIZES, size=rows, p=_CLUSTER_CHANCES)
    slices = random.choice(_SLICES, size=rows, p=_SLICE_CHANCES)
    clusters = np.repeat(np.arange(rows), sizes)[:rows]
    return Layout(clusters, slices[clusters])


def independent(rows: int) -> Layout:
    """Every row a cluster of its own, all in one slice."""
    return Layout(np.arange(rows), np.full(rows, "all"))


def losses(layout: Layout, gains: dict[str, float], skewed: bool, random: np.random.Generator) -> pa.Table:
    """Losses of base and candidate, and chrF scores that differ by chance only.

    A row is hard for both arms alike. The differences have heavy tails (Student's t with 3 degrees of freedom) and
    half of their variance in common within a cluster; skewed ones mostly fall a little and sometimes rise a lot.

    Args:
        layout: the rows.
        gains: true fall of the loss, by slice; `""` is for every slice that is not named.
        skewed: whether the differences are exponential.
        random: the source of chance.
    """
    hard = np.exp(0.9 + 0.4 * layout.spread(random.standard_normal(layout.count)))
    between, within = (
        random.exponential(size=size) - 1 if skewed else random.standard_t(3, size=size) / 3**0.5
        for size in (layout.count, layout.rows)
    )
    noise = 0.3 * 0.5**0.5 * (layout.spread(between) + within)
    fall = np.array([gains.get(name, gains[""]) for name in layout.slices])
    chrf = np.clip(45 + 18 * random.standard_normal(layout.rows), 0, 100)
    changed = np.clip(chrf + 4 * random.standard_normal(layout.rows), 0, 100)
    return _table(
        layout, LOSSES, {"loss": hard, "chrf": chrf}, {"loss": hard + noise - fall, "chrf": changed}
    )


def answers(layout: Layout, gain: float, random: np.random.Generator) -> pa.Table:
    """Right and wrong answers: a fifth of the rows change, and more of them for the better by the true gain."""
    right = random.random(layout.rows) < 0.5
    change, up = random.random(layout.rows) < 0.2, random.random(layout.rows) < (1 + gain / 0.2) / 2
    base = np.where(change, ~up, right).astype(float)
    candidate = np.where(change, up, right).astype(float)
    losses = np.exp(0.9 + 0.4 * random.standard_normal(layout.rows))
    after = losses - 0.05 + 0.02 * random.standard_normal(layout.rows)
    return _table(layout, YES_NO, {"loss": losses, "exact": base}, {"loss": after, "exact": candidate})


def _table(
    layout: Layout, measured: list[Measure], base: dict[str, np.ndarray], candidate: dict[str, np.ndarray]
) -> pa.Table:
    ids = [f"row{at:05}" for at in range(layout.rows)] * 2
    columns = {
        "arm": ["base"] * layout.rows + ["candidate"] * layout.rows,
        "id": ids,
        "slice": [*layout.slices.tolist()] * 2,
        "cluster": [f"c{at}" for at in layout.clusters.tolist()] * 2,
        "prompt": ids,
        "reference": ids,
        "answer": ids,
        "answer_tokens": np.full(2 * layout.rows, 8),
        **{each.name: np.concatenate([base[each.name], candidate[each.name]]) for each in measured},
    }
    return pa.table(columns, schema=result_schema(measured))
