"""What was judged before: how worn the eval rows are, which come next, and how differences scattered."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import sqlalchemy as sa

from ft_assets.evaluation.power import Scatter
from ft_assets.evaluation.rule import Rule
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.home import Home
from ft_assets.storage.tables import receipts

WORN = 20
"""Candidates judged by the same rows from which a report warns."""


@dataclass(frozen=True)
class Past:
    """What earlier verdicts leave.

    Attributes:
        judged: candidates, of any model, that the same eval rows judged before.
        scatter: of the primary metric in this model's last report.
    """

    judged: int = 0
    scatter: Scatter | None = None

    @property
    def rule(self) -> Rule:
        """It never holds a candidate back, as old rows are better than none; from `WORN` candidates on it warns."""
        before = f"these eval rows judged {self.judged} candidates before this one"
        if self.judged < WORN:
            return Rule("eval_set", "pass", before)
        return Rule(
            "eval_set",
            "pass",
            f"warning: {before}; each further verdict on the same rows is a bit less honest, since what was kept was "
            f"chosen by them; let `evaluation.rotate_after` take the next rows, or add eval data",
        )


def rows_digest(ids: Iterable[str]) -> str:
    """Sha256 of the ids of the rows judged, in whatever order they come."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()


def epoch_of(home: Home, candidate: Candidate) -> int:
    """Which choice of eval rows judges a candidate: the verdicts on its model so far, by `rotate_after`."""
    every = candidate.recipe.evaluation.rotate_after
    if every is None:
        return 0
    return sum(body["model"] == candidate.model for body in _before(home, candidate)) // every


def past_of(home: Home, candidate: Candidate, digest: str) -> Past:
    """The past of a verdict on the rows that `digest` names.

    Only candidates that were judged before this one ever was count, so that judging it again says the same.
    """
    bodies = _before(home, candidate)
    ours = [body for body in bodies if body["model"] == candidate.model]
    scatters = [Scatter(**body["scatter"]) for body in ours[-1:] if body.get("scatter")]
    fitting = [scatter for scatter in scatters if scatter.metric == candidate.recipe.gate.primary]
    return Past(
        judged=sum(body.get("eval_rows") == digest for body in bodies),
        scatter=fitting[0] if fitting else None,
    )


def for_receipt(ids: Iterable[str], epoch: int, scatter: Scatter | None) -> dict[str, Any]:
    """What a receipt says for later verdicts to count by, as JSON values."""
    known = scatter is not None and isfinite(scatter.deviation)
    return {
        "eval_epoch": epoch,
        "eval_rows": rows_digest(ids),
        "scatter": asdict(scatter) if scatter is not None and known else None,
    }


def _before(home: Home, candidate: Candidate) -> list[dict[str, Any]]:
    """The latest earlier receipt of each candidate that was judged before this one ever was, oldest first."""
    table = receipts
    query = sa.select(table.c.model, table.c.candidate, table.c.body).order_by(table.c.issued_at, table.c.id)
    bodies: dict[tuple[str, str], dict[str, Any]] = {}
    for row in home.database.rows(query):
        who = row["model"], row["candidate"]
        if who == (candidate.model, candidate.key):
            break
        bodies[who] = json.loads(row["body"])
    return [*bodies.values()]
