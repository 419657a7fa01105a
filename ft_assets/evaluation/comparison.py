"""Per-row results of two or three arms, and what they come to: scores, and paired differences."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from ft_assets.errors import Refused
from ft_assets.evaluation.measure import Measure
from ft_assets.evaluation.paired import weigh
from ft_assets.evaluation.statistics import Interval, bootstrap_mean
from ft_assets.recipe_evaluation import Gate

Arm = Literal["base", "incumbent", "candidate"]

_ROW_FIELDS = [
    pa.field("arm", pa.string(), nullable=False),
    pa.field("id", pa.string(), nullable=False),
    pa.field("slice", pa.string(), nullable=False),
    pa.field("cluster", pa.string(), nullable=False),
    pa.field("prompt", pa.string(), nullable=False),
    pa.field("reference", pa.string(), nullable=False),
    pa.field("answer", pa.string(), nullable=False),
    pa.field("answer_tokens", pa.int64(), nullable=False),
]


def result_schema(measured: Sequence[Measure]) -> pa.Schema:
    """One row for every arm and eval row, one column for every metric.

    A score is null where the metric does not apply to the row, whatever the answer is. The loss, in nats a token of the
    reference (of which there are `answer_tokens`), is not finite where the model is broken.
    """
    return pa.schema([*_ROW_FIELDS, *(pa.field(measure.name, pa.float64()) for measure in measured)])


@dataclass(frozen=True)
class Score:
    """One metric of one arm, over the rows that it applies to."""

    arm: Arm
    metric: str
    interval: Interval


@dataclass(frozen=True)
class Difference:
    """One metric of the candidate less the same rows' metric of `against`, and the bound that it was held against.

    Attributes:
        part: the slice or task whose rows they are; None for all rows.
        bound: gain that the gate asks to be exceeded, in the metric's unit; below 0 it is what may be lost.
        p: one-sided p value of a gain above the bound.
        p_fail: one-sided p value of a gain below the bound, not corrected for how many are asked.
    """

    against: Arm
    metric: str
    interval: Interval
    part: str | None
    bound: float
    p: float
    p_fail: float


class Results:
    """Per-row results of two or three arms over the same rows.

    Attributes:
        ids, slices: of every row, in the order of `values`.
        clusters: number of each row's cluster, int64 of shape (rows,).

    Raises:
        Refused: an arm's rows are not those of the others, so they cannot be paired.
    """

    def __init__(self, table: pa.Table) -> None:
        ordered = table.sort_by([("arm", "ascending"), ("id", "ascending")])
        arms = np.asarray(ordered["arm"].to_pylist())
        self._arms = {arm: ordered.filter(pa.array(arms == arm)) for arm in set(arms.tolist())}
        if "candidate" not in self._arms or "base" not in self._arms:
            raise Refused("results need both a base and a candidate arm; evaluate again")
        rows = self._arms["candidate"]
        self.ids: list[str] = rows["id"].to_pylist()
        self.slices: list[str] = rows["slice"].to_pylist()
        self.clusters = np.unique(rows["cluster"].to_pylist(), return_inverse=True)[1]
        for arm, rows in self._arms.items():
            if rows["id"].to_pylist() != self.ids:
                raise Refused(
                    f"arm {arm} has other rows than the candidate, so they cannot be paired; evaluate again"
                )

    @property
    def arms(self) -> list[Arm]:
        """Arms present, in the order base, incumbent, candidate."""
        order: tuple[Arm, ...] = ("base", "incumbent", "candidate")
        return [arm for arm in order if arm in self._arms]

    def values(self, arm: Arm, metric: str) -> np.ndarray:
        """One number a row, in the order of `ids`; NaN where the metric does not apply or the model is broken."""
        return self._arms[arm][metric].to_numpy(zero_copy_only=False).astype(np.float64)

    def applies(self, metric: str) -> np.ndarray:
        """Which rows the metric applies to.

        Raises:
            Refused: it applies to other rows in one arm than in another, so rows were lost.
        """
        masks = [rows[metric].is_valid().to_numpy(zero_copy_only=False) for rows in self._arms.values()]
        if any((mask != masks[0]).any() for mask in masks):
            raise Refused(f"{metric} was measured on other rows in one arm than in another; evaluate again")
        return masks[0]

    def answers(self, arm: Arm) -> list[str]:
        """Generated answers in the order of `ids`."""
        return self._arms[arm]["answer"].to_pylist()

    def scores(self, measured: Sequence[Measure], gate: Gate) -> list[Score]:
        """Every metric of every arm that applies to some row and is a number on all of them."""
        return [
            Score(arm, measure.name, self._interval(values, rows, gate))
            for arm in self.arms
            for measure in measured
            if (rows := np.flatnonzero(self.applies(measure.name))).size
            and np.isfinite(values := self.values(arm, measure.name)[rows]).all()
        ]

    def difference(
        self,
        against: Arm,
        measure: Measure,
        bound: float,
        gate: Gate,
        part: str | None = None,
        within: np.ndarray | None = None,
    ) -> Difference | None:
        """Candidate less `against`, row by row, held against a bound on the gain.

        Args:
            against: base or incumbent.
            measure: the metric.
            bound: gain to be exceeded, in the metric's unit.
            gate: confidence and resamples.
            part: what the rows within are called.
            within: bool of shape (rows,), which rows count; None for all.

        Returns:
            None when no row has it, or a value is not finite.
        """
        applies = self.applies(measure.name)
        rows = np.flatnonzero(applies if within is None else applies & within)
        ours, theirs = (self.values(arm, measure.name)[rows] for arm in pair(against))
        if not rows.size or not np.isfinite([ours, theirs]).all():
            return None
        clusters = self.clusters[rows]
        gains = measure.sign * (ours - theirs)
        found = weigh(gains, clusters, bound, gate, share=is_share(measure), yes_no=measure.yes_no)
        interval = found.interval if measure.up else found.interval.mirrored
        return Difference(against, measure.name, interval, part, bound, found.above, found.below)

    def _interval(self, values: np.ndarray, rows: np.ndarray, gate: Gate) -> Interval:
        return bootstrap_mean(values, self.clusters[rows], gate.confidence, gate.resamples)


def pair(against: Arm) -> tuple[Arm, Arm]:
    """The two arms of a difference."""
    return "candidate", against


def is_share(measure: Measure) -> bool:
    """Whether scores lie within 0 and 1, as those that are shown in per cent do."""
    return measure.yes_no or measure.scale == 100.0


def as_json(item: Score | Difference) -> dict[str, Any]:
    """Plain JSON values; an infinite bound is null."""
    fields = asdict(item)
    interval = fields.pop("interval")
    bounds = {name: value if isfinite(value) else None for name, value in interval.items()}
    return {**fields, **bounds}
