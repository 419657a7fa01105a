"""The recipe's search section: which training settings are tried, between which bounds, and how often."""

from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from ft_assets.recipe_data import Settings

Choice = bool | int | float | str | None
"""A value that a setting may have."""

_NOT_SEARCHED = {
    "seed": "the luckiest seed is no better setting",
    "device": "it decides how fast a model is trained, not how good it is",
    "max_tokens": "it decides which rows a trial is judged by",
    "target_modules": "it is a list itself; open a candidate for each",
    "max_steps": "set `search.max_steps` for all trials, or search `epochs`",
    "validate_every": "it decides how often a trial is judged",
    "patience": "it decides how often a trial is judged",
}
"""Settings that would change what a validation loss means, and why."""


class Range(Settings):
    """Numbers from `low` to `high`, both of them possible."""

    low: int | float = Field(allow_inf_nan=False, description="Smallest value.")
    high: int | float = Field(allow_inf_nan=False, description="Largest value.")
    log: bool = Field(default=False, description="Drawn evenly on a logarithmic scale.")

    @model_validator(mode="after")
    def _rises(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"low ({self.low}) must be above 0 where log is true")
        return self


class Search(Settings):
    """Hyper-parameter search on the validation split before training, as the asset `hpo_study`. Left out: no search."""

    trials: int = Field(
        default=12,
        ge=1,
        description="Settings tried. Where the space has no more combinations than that, each is tried once.",
    )
    space: dict[str, list[Choice] | Range] = Field(
        min_length=1,
        description="For each setting of `training` to search: a list of choices, or `{low, high, log}`, where `log: "
        "true` draws evenly on a logarithmic scale.",
    )
    max_steps: int | None = Field(
        default=None, ge=1, description="Optimizer steps of a trial at most. Null: as `training.max_steps`."
    )
    parallel: int = Field(
        default=1, ge=1, description="Processes that train trials at a time; each holds the base in memory."
    )
    seed: int = Field(default=0, ge=0, description="Seeds which settings are drawn.")
    warmup_validations: int = Field(
        default=1,
        ge=0,
        description="Validations of a trial before it may be stopped for being worse than half of the others.",
    )

    @field_validator("space")
    @classmethod
    def _sort(cls, space: dict[str, list[Choice] | Range]) -> dict[str, list[Choice] | Range]:
        return dict(sorted(space.items()))  # two recipes that say the same have the same digest

    def suited_to(self, training: Settings) -> "Search":
        """This search with every value as `training` reads it (YAML takes `1e-4` for text).

        Raises:
            ValueError: a name or value of the space that `training` would not accept.
        """
        space = {name: _suit(name, domain, training) for name, domain in self.space.items()}
        return self.model_copy(update={"space": space})


def _suit(name: str, domain: list[Choice] | Range, training: Settings) -> list[Choice] | Range:
    fields = type(training).model_fields
    if name in _NOT_SEARCHED:
        raise ValueError(f"space.{name}: this setting is not searched: {_NOT_SEARCHED[name]}")
    if name not in fields:
        known = ", ".join(field for field in fields if field not in _NOT_SEARCHED)
        raise ValueError(f"space.{name}: `training` has no such setting; write one of {known}")
    if isinstance(domain, list):
        choices = [_read(name, choice, training) for choice in domain]
        if len(choices) < 2 or any(choice in choices[:at] for at, choice in enumerate(choices)):
            raise ValueError(f"space.{name}: write at least two choices, all of them different")
        return choices
    if fields[name].annotation not in (int, float):
        raise ValueError(f"space.{name}: this setting is not a number; write a list of choices")
    bounds = {end: _read(name, getattr(domain, end), training) for end in ("low", "high")}
    return domain.model_copy(update=bounds)


def _read(name: str, value: Choice, training: Settings) -> Any:
    """The value as the setting holds it."""
    try:
        read = type(training).model_validate({**training.model_dump(), name: value})
    except ValidationError as error:
        raise ValueError(f"space.{name}: `training` refuses {value!r}: {error.errors()[0]['msg']}") from error
    return getattr(read, name)
