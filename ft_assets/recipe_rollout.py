"""The recipe's section on the canary: its steps, the evidence that moves it, and what it may not make worse."""

from typing import Annotated

from pydantic import Field, model_validator
from pydantic.json_schema import SkipJsonSchema

from ft_assets.recipe_data import Fraction, Settings

Margin = Annotated[float, Field(gt=0, le=1)]


class Shadow(Settings):
    """A first step in which the champion answers every user and the challenger answers the same requests unseen."""

    min_requests: int = Field(
        default=50,
        ge=1,
        description="Requests that both answered before the challenger gets its first users.",
    )


class Guardrails(Settings):
    """What may not get worse, each with the margin beyond which no step is taken. Null: not watched."""

    approvals: Margin | None = Field(default=0.1, description="Fall of the share of thumbs that are up.")
    edits: Margin | None = Field(
        default=0.1,
        description="Rise of the distance (0 to 1) of users' edits from the answer that they got.",
    )
    escalations: Margin | None = Field(
        default=0.05, description="Rise of the share of answers after which a user asked for a human."
    )
    refusals: Margin | None = Field(
        default=0.05, description="Rise of the share of answers that only refuse, or are empty."
    )
    errors: Margin | None = Field(default=0.05, description="Rise of the share of answers that failed.")
    cancels: Margin | None = Field(
        default=None,
        description="Rise of the share of answers that users cut off. 0.1 where `guardrails` is left out.",
    )
    latency: Margin | None = Field(
        default=0.1, description="Rise of the share of answers slower than the champion's running p95."
    )
    cost: Annotated[float, Field(gt=0, le=10)] | None = Field(
        default=0.2, description="Rise of the tokens an answer, as a share of the champion's."
    )


class Rollout(Settings):
    """The canary: steps of traffic, and the evidence that moves it. `docs/rollout.md` explains it."""

    # The schema names a section alone, so that `dg check yaml` points at the key within it that is wrong.
    shadow: Shadow | SkipJsonSchema[None] = Field(
        default=None, description="Mirror requests before the first users. Null: start with the first share."
    )
    steps: list[Fraction] = Field(
        default=[0.25, 0.5],
        min_length=1,
        description="Shares of traffic for the challenger before it takes all.",
    )
    min_requests: int = Field(default=20, ge=1, description="Judged answers an arm before a step may end.")
    max_requests: int = Field(
        default=500, ge=1, description="Judged answers an arm after which an open step is held."
    )
    min_minutes: float | None = Field(
        default=None, gt=0, description="Least time of a step. Null: the answers alone decide."
    )
    max_hours: float | None = Field(
        default=None,
        gt=0,
        description="Time since the start, or a person's last word, after which it is held. Null: no limit.",
    )
    margin: float = Field(
        default=0.1, gt=0, le=1, description="Loss of mean reward (0 to 1) that is harmful."
    )
    alpha: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="Chance of rolling back an equal challenger, by any signal, however often one looks.",
    )
    max_error_rate: Fraction = Field(
        default=0.1, description="Share of failed answers that ends the rollout."
    )
    guardrails: Guardrails | SkipJsonSchema[None] = Field(
        default=None, description="What may not get worse. Null: every signal, with its default margin."
    )

    @model_validator(mode="after")
    def _rise(self) -> "Rollout":
        if sorted(set(self.steps)) != self.steps or self.steps[0] <= 0 or self.steps[-1] >= 1:
            raise ValueError("steps must rise, each between 0 and 1 (the last step to 1 is implied)")
        return self

    @property
    def shares(self) -> list[float]:
        """The challenger's share of users at each step; 0 is the shadow step."""
        return [0.0, *self.steps] if self.shadow else self.steps

    @property
    def watched(self) -> Guardrails:
        """The guardrails in force."""
        # This margin came later: as null it changes the digest of no recipe that spells guardrails out.
        return self.guardrails or Guardrails(cancels=0.1)
