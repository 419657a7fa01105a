"""Eval rows that something trained on judge nothing any more, and verdicts that they had a part in are marked.

Rows are found by the contamination search of any candidate: copies slipped into its training data, copies in an
ancestor's that a sharper search finds later, or copies in what its base declares. A row stays retired for ever, for
every model that shares the ledger.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from ft_assets.splitting.contamination import Match, lineage
from ft_assets.storage.candidates import Candidate, get_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of, find_record
from ft_assets.storage.tables import receipts, retired_rows, verdict_marks


def retire(home: Home, candidate: Candidate, matches: Sequence[Match]) -> int:
    """Retire the eval rows of the matches, and mark the verdicts that they had a part in. Safe to repeat.

    A verdict is marked when its candidate was judged with the row and descends from what trained on it.

    Returns:
        How many rows were not retired before.
    """
    ledger, now = candidate.recipe.splitting.ledger, datetime.now(UTC)
    fresh = {match.eval_id: match for match in reversed(matches)}
    for id in retired(home, ledger):
        fresh.pop(id, None)
    rows = [_row(match, candidate, ledger, now) for match in fresh.values()]
    marks = _marks(home, list(fresh.values()), ledger, now) if fresh else []
    with home.database.write() as connection:
        for table, values in ((retired_rows, rows), (verdict_marks, marks)):
            for row in values:  # another process may have been first
                known = sa.select(table).filter_by(**{key.name: row[key.name] for key in table.primary_key})
                if connection.execute(known).first() is None:
                    connection.execute(sa.insert(table).values(row))
    return len(rows)


def retired(home: Home, ledger: str) -> set[str]:
    """Ids of the rows that a ledger has retired."""
    query = sa.select(retired_rows.c.example).where(retired_rows.c.ledger == ledger)
    return {row["example"] for row in home.database.rows(query)}


def fit_to_judge(home: Home, ledger: str, rows: pa.Table) -> pa.Table:
    """The rows that may judge: neither retired, nor with a reference answer that people disliked."""
    gone = pa.array(sorted(retired(home, ledger)), pa.string())
    liked = pc.field("desirable").is_null() | pc.field("desirable")
    return rows.filter(liked & ~pc.field("id").isin(gone))


def marks(home: Home, model: str) -> list[dict[str, Any]]:
    """Rows of table `verdict_marks` of a model, oldest first."""
    query = sa.select(verdict_marks).where(verdict_marks.c.model == model)
    return home.database.rows(query.order_by(verdict_marks.c.marked_at, verdict_marks.c.example))


def _row(match: Match, candidate: Candidate, ledger: str, now: datetime) -> dict[str, Any]:
    return {
        "ledger": ledger,
        "example": match.eval_id,
        "trained_row": match.trained_id,
        "trained_by": match.trained_by or candidate.key,
        "kind": match.kind,
        "similarity": match.similarity,
        "found_by": candidate.key,
        "retired_at": now,
    }


def _marks(home: Home, matches: Sequence[Match], ledger: str, now: datetime) -> list[dict[str, Any]]:
    judged = home.database.rows(sa.select(receipts.c.model, receipts.c.candidate).distinct())
    return [
        {**row, "example": match.eval_id, "reason": _reason(match), "marked_at": now}
        for row in judged
        for match in _affecting(home, get_candidate(home, row["model"], row["candidate"]), matches, ledger)
    ]


def _affecting(home: Home, candidate: Candidate, matches: Sequence[Match], ledger: str) -> list[Match]:
    """The matches whose eval row judged the candidate, and whose trained row it or an ancestor trained on."""
    if candidate.recipe.splitting.ledger != ledger:
        return []
    names = {name for one in lineage(home, candidate) for name in (one.key, f"base:{one.recipe.base.name}")}
    own = [match for match in matches if match.trained_by in names]
    if not own or find_record(home, candidate.model, "eval_split", candidate.key) is None:
        return []
    _, folder = artifact_of(home, candidate.model, "eval_split", candidate.key)
    judges = set(pq.read_table(folder / "rows.parquet", columns=["id"])["id"].to_pylist())
    return [match for match in own if match.eval_id in judges]


def _reason(match: Match) -> str:
    return (
        f"eval row {match.eval_id} is a copy ({match.kind}, {match.similarity:.2f}) of row {match.trained_id}, which "
        f"{match.trained_by} trained on"
    )
