"""What each candidate has cost: device-seconds, tokens, energy and money of every run of one of its stages."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import sqlalchemy as sa

from ft_assets.storage.home import Home
from ft_assets.storage.tables import costs

Stage = Literal["search", "training", "alignment", "evaluation"]
"""What is counted. Everything else runs for seconds, and on no device of its own."""


@dataclass(frozen=True)
class Expense:
    """What one attempt at a stage used, whether it came to its end or not.

    `device` is `cpu` or `cuda`, and empty where none was used or the attempt ended before it told. `watt_hours`,
    `money` and `currency` are None where the recipe did not say what a device draws or costs.
    """

    attempt: str
    model: str
    candidate: str
    stage: Stage
    run_id: str | None
    device: str
    devices: int
    device_seconds: float
    tokens: int
    watt_hours: float | None
    money: float | None
    currency: str | None


@dataclass(frozen=True)
class Sum:
    """What several attempts used together. Money by currency; None and {} where none was told."""

    attempts: int
    device_seconds: float
    tokens: int
    watt_hours: float | None
    money: dict[str, float]

    def words(self) -> str:
        """The sum in a line for people."""
        told = [f"{self.device_seconds:.1f} device-seconds", f"{self.tokens} tokens"]
        if self.watt_hours is not None:
            told.append(f"about {self.watt_hours:.3g} Wh")
        return ", ".join([*told, *(show_money(money, name) for name, money in self.money.items())])


def record_cost(home: Home, expense: Expense) -> bool:
    """Write down what an attempt used; False when it was written down before, and nothing is changed."""
    same = sa.select(costs.c.seq).where(costs.c.attempt == expense.attempt)
    with home.database.write() as connection:
        if connection.scalar(same) is not None:
            return False
        connection.execute(sa.insert(costs).values({**vars(expense), "recorded_at": datetime.now(UTC)}))
    return True


def costs_of(home: Home, model: str | None = None, candidate: str | None = None) -> list[Expense]:
    """What was written down, oldest first: of a candidate, of a model, or of all. `add_up` sums it."""
    query = sa.select(*(costs.c[name] for name in Expense.__dataclass_fields__)).order_by(costs.c.seq)
    for column, wanted in ((costs.c.model, model), (costs.c.candidate, candidate)):
        if wanted is not None:
            query = query.where(column == wanted)
    return [Expense(**row) for row in home.database.rows(query)]


def add_up(expenses: Iterable[Expense]) -> Sum:
    """The sum of attempts."""
    every = [*expenses]
    energy = [each.watt_hours for each in every if each.watt_hours is not None]
    money: Counter[str] = Counter()
    for each in every:
        if each.money is not None and each.currency is not None:
            money[each.currency] += each.money  # pyright: ignore[reportArgumentType]
    return Sum(
        attempts=len(every),
        device_seconds=round(sum(each.device_seconds for each in every), 1),
        tokens=sum(each.tokens for each in every),
        watt_hours=round(sum(energy), 4) if energy else None,
        money={name: round(amount, 6) for name, amount in sorted(money.items())},
    )


def table_of(home: Home, model: str | None = None) -> list[dict[str, Any]]:
    """The sum of each model, under it that of each candidate, and under that a row for each of its stages."""
    rows: list[dict[str, Any]] = []
    expenses = costs_of(home, model)
    for name in sorted({each.model for each in expenses}):
        of_model = [each for each in expenses if each.model == name]
        rows.append(_row(name, "all", "all", of_model))
        for key in sorted({each.candidate for each in of_model}):
            of_candidate = [each for each in of_model if each.candidate == key]
            rows.append(_row(name, key, "all", of_candidate))
            for stage in dict.fromkeys(each.stage for each in of_candidate):
                rows.append(_row(name, key, stage, [each for each in of_candidate if each.stage == stage]))
    return rows


def show_money(money: float, currency: str) -> str:
    """An amount for people: whole cents, and two digits of what is less than one."""
    return f"{money:.2g} {currency}" if 0 < money < 0.01 else f"{money:.2f} {currency}"


def _row(model: str, candidate: str, stage: str, expenses: list[Expense]) -> dict[str, Any]:
    return {"model": model, "candidate": candidate, "stage": stage, **vars(add_up(expenses))}
