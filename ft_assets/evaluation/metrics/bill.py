"""What a judge was asked, and what that took."""

from pydantic import BaseModel, ConfigDict


class Bill(BaseModel):
    """Of one judge in one evaluation.

    Attributes:
        asked: comparisons that this evaluation asked for; each pair of texts is compared twice, once in either order.
        reused: comparisons that were known from an earlier one.
        unparsed: of all of them, those on which the judge gave no verdict when asked twice. Each counts as a tie.
        tokens: read and written by the judge for those asked.
        money: for those tokens, at the recipe's price.
        kappa: Cohen's kappa with people over `labels` pairs, with its standard error; None where there are no labels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    asked: int = 0
    reused: int = 0
    unparsed: int = 0
    tokens: int = 0
    money: float = 0.0
    kappa: float | None = None
    kappa_error: float | None = None
    labels: int = 0
