"""The recipe's sections on judging: what is measured of each answer, and when a candidate may be released."""

from typing import Literal

from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from ft_assets.recipe_data import Fraction, Settings
from ft_assets.recipe_metrics import Chrf, Metric

LOSS = "loss"
"""Name of the metric that every evaluation has: nats a token of the reference."""


_TAKEN = {
    "arm",
    "id",
    "slice",
    "cluster",
    "prompt",
    "reference",
    "answer",
    "answer_tokens",
    "rows",
    "retention",
}


class Retention(Settings):
    """Tasks of lm-evaluation-harness on which base and candidate are compared: what did the tuning make worse?"""

    tasks: list[str] = Field(
        min_length=1, description="Names of its tasks, such as `arc_easy`, or of your own."
    )
    folder: str | None = Field(
        default=None,
        description="Folder of task YAML files of your own. Null: those that come with the harness, whose data must be "
        "in the Hugging Face cache already.",
    )
    limit: int = Field(default=100, ge=2, description="Most rows of each task, the first ones.")
    margin: Fraction = Field(
        default=0.05, gt=0, description="Share of right answers that may be lost to the base, on each task."
    )


class Evaluation(Settings):
    """What is measured on held-out rows, for base, incumbent and candidate alike. The loss always is."""

    max_rows: int = Field(
        default=200, ge=2, description="Eval rows used, the same ones until they are worn out."
    )
    rotate_after: int | None = Field(
        default=None,
        ge=1,
        description="Candidates judged after which other eval rows are taken, as a set that chose among many flatters "
        "the chosen. Null: never; the report warns from 20 on.",
    )
    max_new_tokens: int = Field(default=48, ge=1, description="Longest generated answer.")
    batch_size: int = Field(default=16, ge=1, description="Rows a generation batch; one value for all arms.")
    metrics: list[Metric] = Field(
        default=[Chrf()],
        description="What is measured of each answer, beside its loss; each entry has a `kind`, see below.",
    )
    # The schema names the section alone, so that `dg check yaml` points at the key within it that is wrong.
    retention: Retention | SkipJsonSchema[None] = Field(
        default=None,
        description="Tasks that the candidate may not have unlearned; needs the extra `harness`. Null: not asked.",
    )

    @model_validator(mode="after")
    def _names_differ(self) -> "Evaluation":
        names = [LOSS, *(metric.called for metric in self.metrics)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if taken := sorted(_TAKEN & {*names}):
            raise ValueError(
                f"metrics: {', '.join(taken)} is a name that results have already; choose another `name`"
            )
        if twice:
            raise ValueError(
                f"metrics: {', '.join(twice)} is there twice; give each metric a `name` of its own"
            )
        return self


class Gate(Settings):
    """When a candidate may be released. A `fail` blocks; `inconclusive` never promotes. `docs/gate.md` explains it."""

    primary: str = Field(default=LOSS, description="The metric on which the candidate must be better.")
    superior_to: Literal["base", "both"] = Field(
        default="base",
        description="`base`: better than the base, and no worse than the incumbent. `both`: better than either.",
    )
    min_gain: float = Field(
        default=0.0,
        ge=0,
        description="By how much better, in the primary metric's unit; the whole interval must lie beyond.",
    )
    margins: dict[str, float] = Field(
        default={},
        description="By metric: what may be lost to base or incumbent, in the metric's unit. A metric that is not "
        "named may lose 0.05 nats (loss), 3 points (scores of 0 to 100) or 0.05 (shares).",
    )
    slice_margin: float = Field(
        default=2.0, ge=1, description="Times the primary metric's margin that a single slice may lose."
    )
    min_slice_rows: int = Field(
        default=15, ge=2, description="Slices with fewer eval rows are judged together, as one."
    )
    min_rows: int = Field(default=20, ge=2, description="Fewer paired eval rows are inconclusive.")
    confidence: float = Field(
        default=0.95,
        gt=0.5,
        lt=1.0,
        description="Of intervals. A candidate that is no better passes with a chance of at most half of what is "
        "left, unless its differences are strongly skewed (docs/gate.md).",
    )
    resamples: int = Field(default=2_000, ge=100, description="Bootstrap resamples, and permutations.")
    contamination_jaccard: Fraction = Field(
        default=0.5,
        description="An eval row this similar to a trained row is contaminated, and the gate fails.",
    )
    contamination_similarity: Fraction | None = Field(
        default=None,
        description="Cosine similarity of whole rows from which an eval row counts as contaminated although the words "
        "differ. Null: not asked.",
    )
