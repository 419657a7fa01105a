"""The rollout: one challenger against the champion, from its first share of traffic to its end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ft_assets.recipe import Rollout as Plan
from ft_assets.registry.routing import OPEN_STATES
from ft_assets.storage.home import Home
from ft_assets.storage.tables import promotion_ledger, rollouts


@dataclass(frozen=True)
class Rollout:
    """A row of table `rollouts`, and when its present step began. `step` counts from 0."""

    id: str
    model: str
    candidate: str
    challenger: str
    control: str
    salt: str
    state: str
    step: int
    weight: float
    plan: Plan
    verdict: dict[str, Any] | None
    started_at: datetime
    updated_at: datetime
    step_began_at: datetime

    @property
    def is_open(self) -> bool:
        """Whether it still has traffic."""
        return self.state in OPEN_STATES


def open_rollout(home: Home, model: str) -> Rollout | None:
    """The rollout of a model that has traffic now; there is one at most."""
    found = _find(home, rollouts.c.model == model, rollouts.c.state.in_(OPEN_STATES))
    return found[0] if found else None


def rollouts_of(home: Home, model: str, candidate: str | None = None) -> list[Rollout]:
    """Every rollout of a model, or of one of its candidates, oldest first."""
    mine = [rollouts.c.model == model]
    if candidate is not None:
        mine.append(rollouts.c.candidate == candidate)
    return _find(home, *mine)


def _find(home: Home, *conditions: sa.ColumnElement[bool]) -> list[Rollout]:
    # A model has one open rollout at most, so its latest move since a rollout's start began that one's step.
    ledger = promotion_ledger
    began = (
        sa.select(sa.func.max(ledger.c.at))
        .where(
            ledger.c.model == rollouts.c.model,
            ledger.c.address == rollouts.c.challenger,
            ledger.c.action.in_(("canary", "step")),
        )
        .scalar_subquery()
    )
    query = sa.select(rollouts, began.label("step_began_at")).where(*conditions)
    found = home.database.rows(query.order_by(rollouts.c.started_at, rollouts.c.id))
    return [Rollout(**{**row, "plan": Plan.model_validate(row["plan"])}) for row in found]
