"""What users said about the answers of a rollout, one word an answer."""

import math
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from ft_assets.rollout.reward import reward
from ft_assets.storage.home import Home
from ft_assets.storage.tables import feedback, interactions


@dataclass(frozen=True)
class Word:
    """All that was said about one answer; NaN where nothing was.

    Attributes:
        judged_at: when it was first judged, in seconds since 1970.
        reward: the latest judgement, from 0 to 1.
        thumb: 1 up, 0 down.
        edit: distance of the user's edit from the answer, from 0 to 1.
    """

    judged_at: float = math.nan
    reward: float = math.nan
    thumb: float = math.nan
    edit: float = math.nan
    escalated: bool = False


def words(home: Home, mine: sa.ColumnElement[bool]) -> dict[str, Word]:
    """Inference id -> what was said, for the interactions that `mine` selects."""
    said = [feedback.c[name] for name in ("inference_id", "kind", "value", "received_at")]
    query = sa.select(*said, interactions.c.answer).join(interactions).where(mine)
    found: dict[str, Word] = {}
    for row in home.database.rows(query.order_by(feedback.c.received_at, feedback.c.idempotency_key)):
        found[row["inference_id"]] = _hear(found.get(row["inference_id"], Word()), row)
    return found


def _hear(word: Word, row: dict[str, Any]) -> Word:
    value = reward(row["kind"], row["value"], row["answer"])
    if value is None:
        return word
    first = row["received_at"].timestamp() if math.isnan(word.judged_at) else word.judged_at
    word = replace(word, judged_at=first, reward=value)
    match row["kind"]:
        case "thumb":
            return replace(word, thumb=value)
        case "edit":
            return replace(word, edit=1 - value)
        case _:
            return replace(word, escalated=True)
