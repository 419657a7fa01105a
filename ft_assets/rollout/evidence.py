"""What live traffic says about the two arms of a rollout."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
import sqlalchemy as sa

from ft_assets.curation.phrases import refusal
from ft_assets.recipe_data import Curation
from ft_assets.rollout.feedback import Word, words
from ft_assets.rollout.rollout import Rollout
from ft_assets.storage.home import Home
from ft_assets.storage.tables import interactions

_COLUMNS = ("inference_id", "address", "user", "created_at", "latency_ms", "answer_tokens", "answer", "error")
_COLUMNS += ("shadow", "pair", "cancelled")
_LOOKS_LIKE = Curation()


@dataclass(frozen=True)
class Answers:
    """Answers as columns of one length, in order. Times are seconds since 1970; what nobody said is NaN.

    Attributes:
        reward: the latest word on an answer, from 0 to 1; `judged_at` is the time of the first.
        thumb: 1 up, 0 down.
        edit: distance of a user's edit from the answer, 0 (the same) to 1.
        cancelled: its user left before its end. It failed in nothing and is judged by nobody: what was said of a part
            says nothing of the whole. Only that its user asked for a human still counts.
    """

    challenger: np.ndarray
    user: np.ndarray
    served_at: np.ndarray
    latency_ms: np.ndarray
    tokens: np.ndarray
    failed: np.ndarray
    refused: np.ndarray
    judged_at: np.ndarray
    reward: np.ndarray
    thumb: np.ndarray
    edit: np.ndarray
    escalated: np.ndarray
    cancelled: np.ndarray

    def __len__(self) -> int:
        return len(self.challenger)

    def take(self, which: np.ndarray) -> "Answers":
        """Some of them, by mask or by index."""
        return Answers(**{field.name: getattr(self, field.name)[which] for field in fields(self)})

    @property
    def ended(self) -> "Answers":
        """Those that came to their own end, be it a failure."""
        return self.take(~self.cancelled)


@dataclass(frozen=True)
class Evidence:
    """Both arms' answers since the rollout began, oldest first.

    The first 2 x `pairs` are of the shadow step: the challenger's answer to a request, then the control's to the
    same one. Other answers count from the time when the challenger got its first users.
    """

    answers: Answers
    pairs: int = 0

    @property
    def live(self) -> Answers:
        """Answers that users got while both arms had users."""
        return self.answers.take(np.arange(2 * self.pairs, len(self.answers)))

    @property
    def shadow(self) -> Answers:
        """Answers to mirrored requests, of both arms."""
        return self.answers.take(np.arange(2 * self.pairs))

    def of(self, challenger: bool) -> Answers:
        """One arm's answers."""
        return self.answers.take(self.answers.challenger == challenger)


def read_evidence(home: Home, rollout: Rollout) -> Evidence:
    """Every answer that the rollout's two arms gave within it, with the latest word on each.

    A failed answer is judged at once, with reward 0. The first feedback says when an answer was judged, so
    that later feedback changes a reward and not the order; the latest says what it is worth.
    """
    arms = (rollout.challenger, rollout.control)
    mine = sa.and_(interactions.c.rollout == rollout.id, interactions.c.address.in_(arms))
    query = sa.select(*(interactions.c[name] for name in _COLUMNS)).where(mine)
    rows = home.database.rows(query.order_by(interactions.c.created_at, interactions.c.inference_id))
    pairs = _pairs(rows)
    live = _live(rows, rollout)
    said = words(home, mine)
    told = [_told(row, rollout, said.get(row["inference_id"])) for row in [*sum(pairs, ()), *live]]
    columns = {field.name: np.array([row[field.name] for row in told]) for field in fields(Answers)}
    kinds = {
        "user": object,
        **dict.fromkeys(("challenger", "failed", "refused", "escalated", "cancelled"), bool),
    }
    typed = {name: column.astype(kinds.get(name, float)) for name, column in columns.items()}
    return Evidence(Answers(**typed), len(pairs))


def figures(answers: Answers) -> dict[str, Any]:
    """One arm in numbers: counts, mean reward in [0, 1], latencies in milliseconds of answers that ended."""
    rewards = answers.reward[~np.isnan(answers.reward)]
    return {
        "requests": len(answers),
        "users": len(set(answers.user)),
        "failed": int(answers.failed.sum()),
        "cancelled": int(answers.cancelled.sum()),
        "judged": len(rewards),
        "mean_reward": round(float(np.mean(rewards)), 4) if len(rewards) else None,
        "latency_ms": _quantiles(answers.ended.latency_ms),
    }


def _pairs(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], ...]]:
    """(challenger's, control's) answer to each mirrored request; an answer without its other half is left out."""
    seen = {row["inference_id"]: row for row in rows if not row["shadow"]}
    return [(row, seen[row["pair"]]) for row in rows if row["shadow"] and row["pair"] in seen]


def _live(rows: Iterable[Mapping[str, Any]], rollout: Rollout) -> list[Mapping[str, Any]]:
    """What users got while the challenger had users too, whatever a clock that was set back says of the time."""
    live = [row for row in rows if not row["shadow"]]
    if rollout.plan.shadow is None:
        return live
    times = [row["created_at"] for row in live if row["address"] == rollout.challenger]
    times += [rollout.users_since] if rollout.users_since else []
    return [row for row in live if times and row["created_at"] >= min(times)]


def _told(row: Mapping[str, Any], rollout: Rollout, said: Word | None) -> dict[str, Any]:
    cancelled, served_at = row["cancelled"], row["created_at"].timestamp()
    failed = row["error"] is not None
    said = said or Word()
    if cancelled:
        said = Word(escalated=said.escalated)
    return {
        "challenger": row["address"] == rollout.challenger,
        "user": row["user"] or row["inference_id"],  # an anonymous request is routed for itself
        "served_at": served_at,
        "latency_ms": row["latency_ms"],
        "tokens": row["answer_tokens"],
        "failed": failed,
        "refused": not (failed or cancelled) and _refuses(row["answer"]),
        "judged_at": served_at if failed else said.judged_at,
        "reward": 0.0 if failed else said.reward,
        "thumb": said.thumb,
        "edit": said.edit,
        "escalated": said.escalated,
        "cancelled": cancelled,
    }


@lru_cache(maxsize=10_000)
def _refuses(answer: str) -> bool:
    # An answer of nothing would else be the quickest and cheapest there is, and worse in no signal.
    return not answer.strip() or refusal(answer, _LOOKS_LIKE) is not None


def _quantiles(values: np.ndarray) -> dict[str, float] | None:
    if not len(values):
        return None
    return {f"p{share}": round(float(np.percentile(values, share)), 1) for share in (50, 95)}
