"""The recipe's section on cost: what a device costs an hour, what it draws, and what a candidate may cost."""

from pydantic import Field, model_validator

from ft_assets.recipe_data import Settings


class Cost(Settings):
    """What a device costs an hour, and what a candidate may; see `docs/costs.md`. Left out: no money and no limit."""

    price_per_hour: float = Field(
        ge=0,
        allow_inf_nan=False,
        description="Price of one device for an hour: of a GPU, or of the machine where there is none.",
    )
    currency: str = Field(
        default="EUR", pattern=r"^[A-Z]{3}$", description="ISO 4217 code of the price and of the budget."
    )
    watts: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Power that one device draws at work, for the energy estimate. Null: energy is not estimated.",
    )
    budget: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Money for one candidate, all its stages together. A training stops before it is spent, and "
        "nothing is begun after that. Null: no limit.",
    )

    @model_validator(mode="after")
    def _has_a_price(self) -> "Cost":
        if self.budget is not None and self.price_per_hour == 0:
            raise ValueError("a budget needs a price_per_hour above 0: nothing would ever be spent")
        return self
