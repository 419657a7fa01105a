"""What live traffic says about the two arms of a rollout."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import sqlalchemy as sa

from ft_assets.rollout.reward import reward
from ft_assets.rollout.rollout import Rollout
from ft_assets.storage.home import Home
from ft_assets.storage.tables import feedback, interactions


@dataclass(frozen=True)
class Answer:
    """One served answer. `judged_at` and `reward` are None while nobody has judged it."""

    challenger: bool
    user: str
    served_at: datetime
    latency_ms: float
    failed: bool
    judged_at: datetime | None
    reward: float | None


@dataclass(frozen=True)
class Evidence:
    """Both arms' answers since the rollout began, oldest first."""

    answers: tuple[Answer, ...]

    def of(self, challenger: bool) -> list[Answer]:
        """One arm's answers."""
        return [answer for answer in self.answers if answer.challenger == challenger]

    def judged(self) -> list[tuple[bool, float]]:
        """(challenger, reward) of each judged answer, in the order judged."""
        known = [
            (answer.judged_at, index, answer.challenger, answer.reward)
            for index, answer in enumerate(self.answers)
            if answer.judged_at is not None and answer.reward is not None
        ]
        return [(challenger, value) for _, _, challenger, value in sorted(known)]


def read_evidence(home: Home, rollout: Rollout) -> Evidence:
    """Every answer that the rollout's two arms gave within it, with the latest word on each.

    A failed answer is judged at once, with reward 0. The first feedback says when an answer was judged, so
    that later feedback changes a reward and not the order; the latest says what it is worth.
    """
    names = ("inference_id", "address", "user", "created_at", "latency_ms", "error")
    arms = (rollout.challenger, rollout.control)
    mine = sa.and_(interactions.c.rollout == rollout.id, interactions.c.address.in_(arms))
    served = sa.select(*(interactions.c[name] for name in names)).where(mine)
    ordered = served.order_by(interactions.c.created_at, interactions.c.inference_id)
    judgements = _judgements(home, mine)
    rows = home.database.rows(ordered)
    return Evidence(tuple(_answer(row, rollout, judgements.get(row["inference_id"])) for row in rows))


def figures(answers: Sequence[Answer]) -> dict[str, Any]:
    """One arm in numbers: counts, mean reward in [0, 1], latencies in milliseconds."""
    rewards = [answer.reward for answer in answers if answer.reward is not None]
    return {
        "requests": len(answers),
        "users": len({answer.user for answer in answers}),
        "failed": sum(answer.failed for answer in answers),
        "judged": len(rewards),
        "mean_reward": round(float(np.mean(rewards)), 4) if rewards else None,
        "latency_ms": _quantiles([answer.latency_ms for answer in answers]),
    }


def _judgements(home: Home, mine: sa.ColumnElement[bool]) -> dict[str, tuple[datetime, float]]:
    """Answer's id -> (when it was first judged, its latest reward)."""
    said = [feedback.c[name] for name in ("inference_id", "kind", "value", "received_at")]
    query = sa.select(*said, interactions.c.answer).join(interactions).where(mine)
    found: dict[str, tuple[datetime, float]] = {}
    ordered = query.order_by(feedback.c.received_at, feedback.c.idempotency_key)
    for row in home.database.rows(ordered):
        value = reward(row["kind"], row["value"], row["answer"])
        if value is not None:
            first, _ = found.get(row["inference_id"], (row["received_at"], value))
            found[row["inference_id"]] = (first, value)
    return found


def _answer(row: dict[str, Any], rollout: Rollout, judgement: tuple[datetime, float] | None) -> Answer:
    failed = row["error"] is not None
    judged_at, value = (row["created_at"], 0.0) if failed else judgement or (None, None)
    return Answer(
        challenger=row["address"] == rollout.challenger,
        user=row["user"] or row["inference_id"],  # an anonymous request is routed for itself
        served_at=row["created_at"],
        latency_ms=row["latency_ms"],
        failed=failed,
        judged_at=judged_at,
        reward=value,
    )


def _quantiles(values: Iterable[float]) -> dict[str, float] | None:
    known = list(values)
    if not known:
        return None
    return {f"p{share}": round(float(np.percentile(known, share)), 1) for share in (50, 95)}
