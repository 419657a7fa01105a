"""The latest answers of a rollout's two arms, side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from ft_assets.rollout.rollout import Rollout
from ft_assets.storage.home import Home
from ft_assets.storage.tables import interactions

_PAIRS = 10
_NEAR = 50
"""Answers of the control among which the nearest is looked for."""
_COLUMNS = (
    "inference_id",
    "messages",
    "answer",
    "answer_tokens",
    "latency_ms",
    "error",
    "cancelled",
    "created_at",
    "pair",
)

Row = Mapping[str, Any]


def recent_pairs(home: Home, rollout: Rollout) -> list[dict[str, Any]]:
    """The challenger's last answers, newest first, each with one of the control's.

    That is the answer to the same request in the shadow step; else the one to the same question, or the one nearest in
    time. `challenger` and `control` are None where an arm has too few.
    """
    mine, others = _latest(home, rollout, rollout.challenger, _PAIRS), _latest(home, rollout, rollout.control)
    others = [*others, *_twins(home, mine, others)]
    found = _matched(mine, others)
    pairs = [(row, None if at is None else others[at]) for row, at in zip(mine, found, strict=True)]
    left = [(None, row) for at, row in enumerate(others) if at not in found]
    pairs += left[: _PAIRS - len(pairs)]
    return [{"challenger": _told(row), "control": _told(other)} for row, other in pairs]


def _matched(mine: Sequence[Row], others: Sequence[Row]) -> list[int | None]:
    """Index of the other that each row is shown beside: the nearest pairs are made first."""
    found: list[int | None] = [None] * len(mine)
    distances = [
        (_distance(row, other), at, to) for at, row in enumerate(mine) for to, other in enumerate(others)
    ]
    for _, at, to in sorted(distances):
        if found[at] is None and to not in found:
            found[at] = to
    return found


def _latest(home: Home, rollout: Rollout, address: str, count: int = _NEAR) -> list[Row]:
    return _rows(
        home,
        sa.and_(interactions.c.rollout == rollout.id, interactions.c.address == address),
        count,
    )


def _twins(home: Home, mine: Sequence[Row], known: Sequence[Row]) -> list[Row]:
    """The control's answers to mirrored requests that are not among the known ones."""
    lacking = {row["pair"] for row in mine} - {None} - {row["inference_id"] for row in known}
    return _rows(home, interactions.c.inference_id.in_(lacking), _PAIRS) if lacking else []


def _rows(home: Home, which: sa.ColumnElement[bool], count: int) -> list[Row]:
    query = sa.select(*(interactions.c[name] for name in _COLUMNS)).where(which)
    return [*home.database.rows(query.order_by(interactions.c.created_at.desc()).limit(count))]


def _distance(row: Row, other: Row) -> tuple[bool, bool, float]:
    seconds = abs((row["created_at"] - other["created_at"]).total_seconds())
    return row["pair"] != other["inference_id"], row["messages"] != other["messages"], seconds


def _told(row: Row | None) -> dict[str, Any] | None:
    if row is None:
        return None
    turns = [f"{turn['role']}: {turn['content']}" for turn in row["messages"]]
    return {
        "inference_id": row["inference_id"],
        "at": row["created_at"].isoformat(timespec="seconds"),
        "question": "\n".join(turns),
        "answer": row["answer"],
        "tokens": row["answer_tokens"],
        "latency_ms": round(row["latency_ms"], 1),
        "error": row["error"],
        "cancelled": row["cancelled"],
        "shadow": row["pair"] is not None,
    }
