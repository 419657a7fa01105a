"""Scores of each arm, and paired differences between arms, from per-row results."""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.errors import Refused
from ft_assets.evaluation.statistics import Interval, bootstrap_mean
from ft_assets.recipe import Gate

Arm = Literal["base", "incumbent", "candidate"]
Metric = Literal["loss", "chrf", "exact", "format_ok"]
METRICS: tuple[Metric, ...] = ("loss", "chrf", "exact", "format_ok")

RESULT_SCHEMA = pa.schema(
    [
        pa.field("arm", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("slice", pa.string(), nullable=False),
        pa.field("cluster", pa.string(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("reference", pa.string(), nullable=False),
        pa.field("answer", pa.string(), nullable=False),
        pa.field("loss", pa.float64(), nullable=False),
        pa.field("answer_tokens", pa.int64(), nullable=False),
        pa.field("chrf", pa.float64(), nullable=False),
        pa.field("exact", pa.bool_(), nullable=False),
        pa.field("format_ok", pa.bool_()),
    ]
)
"""One row for every arm and eval row. `loss`: nats a token of the reference, of which there are `answer_tokens`;
not finite where the model is broken. `chrf`: 0 to 100. `format_ok`: null when the recipe asks for no format."""


@dataclass(frozen=True)
class Score:
    """One metric of one arm."""

    arm: Arm
    metric: Metric
    interval: Interval


@dataclass(frozen=True)
class Difference:
    """One metric of the candidate less the same rows' metric of `against`. Below 0 is better for losses only."""

    against: Arm
    metric: Metric
    interval: Interval


class Results:
    """Per-row results of two or three arms over the same rows.

    Raises:
        Refused: an arm's rows are not those of the others, so they cannot be paired.
    """

    def __init__(self, table: pa.Table) -> None:
        ordered = table.sort_by([("arm", "ascending"), ("id", "ascending")])
        self._arms = {arm: ordered.filter(pc.field("arm") == arm) for arm in set(table["arm"].to_pylist())}
        if "candidate" not in self._arms or "base" not in self._arms:
            raise Refused("results need both a base and a candidate arm; evaluate again")
        self.ids: list[str] = self._arms["candidate"]["id"].to_pylist()
        self.clusters: list[str] = self._arms["candidate"]["cluster"].to_pylist()
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

    def values(self, arm: Arm, metric: Metric) -> np.ndarray | None:
        """One number a row, in the order of `ids`; None when the metric does not apply."""
        column = self._arms[arm][metric]
        return None if column.null_count else np.asarray(column.to_pylist(), dtype=np.float64)

    def answers(self, arm: Arm) -> list[str]:
        """Generated answers in the order of `ids`."""
        return self._arms[arm]["answer"].to_pylist()

    def scores(self, settings: Gate) -> list[Score]:
        """Every metric of every arm whose values are all finite."""
        return [
            Score(arm, metric, self._interval(values, settings))
            for arm in self.arms
            for metric in METRICS
            if (values := self.values(arm, metric)) is not None and np.isfinite(values).all() and values.size
        ]

    def difference(self, against: Arm, metric: Metric, settings: Gate) -> Difference | None:
        """Candidate less `against`, row by row; None when the metric does not apply or a value is not finite."""
        ours, theirs = self.values("candidate", metric), self.values(against, metric)
        if ours is None or theirs is None or not ours.size or not np.isfinite([ours, theirs]).all():
            return None
        return Difference(against, metric, self._interval(ours - theirs, settings))

    def _interval(self, values: np.ndarray, settings: Gate) -> Interval:
        return bootstrap_mean(values, self.clusters, settings.confidence, settings.resamples)


def as_json(item: Score | Difference) -> dict[str, Any]:
    """Plain JSON values; an infinite bound is null."""
    fields = asdict(item)
    interval = fields.pop("interval")
    bounds = {name: value if isfinite(value) else None for name, value in interval.items()}
    return {**fields, **bounds}
