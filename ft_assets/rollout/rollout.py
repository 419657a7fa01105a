"""The rollout: one challenger against the champion, from its first share of traffic to its end."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ft_assets.recipe_rollout import Rollout as Plan
from ft_assets.registry.routing import OPEN_STATES
from ft_assets.storage.home import Home
from ft_assets.storage.tables import promotion_ledger, rollouts

CONTROLLER = "canary controller"
"""Who the ledger names for moves that the evidence made."""


@dataclass(frozen=True)
class Rollout:
    """A row of table `rollouts`, and what the ledger knows of its present step.

    Attributes:
        step: index into the plan's shares.
        step_began_at: when the counts of the present step began.
        asked_at: the start, or a person's last word on it.
        users_since: when the challenger first got users; None while it is a shadow.
    """

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
    asked_at: datetime
    users_since: datetime | None

    @property
    def is_open(self) -> bool:
        """Whether it still has traffic, or shadows it."""
        return self.state in OPEN_STATES

    @property
    def is_shadow(self) -> bool:
        """Whether no user gets the challenger's answers: it only sees copies of the requests."""
        return self.plan.shares[self.step] == 0


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


def moved_by(home: Home, model: str, run: str) -> Rollout | None:
    """The rollout that a Dagster run has begun or moved."""
    ledger = promotion_ledger
    mine = sa.and_(ledger.c.model == model, ledger.c.details["run"].as_string() == run)
    named = sa.select(ledger.c.details["rollout"].as_string()).where(mine)
    found = _find(home, rollouts.c.id.in_(named))
    return found[0] if found else None


def _find(home: Home, *conditions: sa.ColumnElement[bool]) -> list[Rollout]:
    ledger = promotion_ledger
    by_person = sa.and_(ledger.c.by != CONTROLLER, ledger.c.action.in_(("step", "resume")))
    query = sa.select(
        rollouts,
        _of_moves(sa.func.max(ledger.c.at), ledger.c.action.in_(("canary", "step"))).label("step_began_at"),
        _of_moves(sa.func.max(ledger.c.at), sa.or_(ledger.c.action == "canary", by_person)).label("asked_at"),
        _of_moves(sa.func.min(ledger.c.at), ledger.c.details["weight"].as_float() > 0).label("users_since"),
    ).where(*conditions)
    # Clocks are set back, the ledger is not.
    found = home.database.rows(
        query.order_by(_of_moves(sa.func.min(ledger.c.seq), ledger.c.action == "canary"))
    )
    return [Rollout(**{**row, "plan": Plan.model_validate(row["plan"])}) for row in found]


def _of_moves(what: sa.ColumnElement[Any], which: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
    """What is true of the rollout's moves of a kind, such as the time of the first."""
    mine = (
        promotion_ledger.c.model == rollouts.c.model,
        promotion_ledger.c.details["rollout"].as_string() == rollouts.c.id,
    )
    return sa.select(what).where(*mine, which).scalar_subquery()
