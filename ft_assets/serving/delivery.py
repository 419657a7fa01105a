"""Bringing rows from the journal to the database: many in one transaction, each exactly once, in their order.

Both tables refuse a second row of the same id, so that a delivery may be repeated after a crash.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.exc import DataError, IntegrityError, StatementError

from ft_assets.serving.feedback import UNKNOWN, Feedback, count_feedback, insert_feedback, insert_once
from ft_assets.serving.metrics import RECORDING_FAILURES
from ft_assets.serving.problems import ApiProblem
from ft_assets.storage.home import Home
from ft_assets.storage.tables import interactions

log = logging.getLogger(__name__)

Unknown = tuple[Feedback, ApiProblem]


def deliver_rows(home: Home, rows: Sequence[Any], patience: float) -> list[Unknown]:
    """Store rows of the journal; returns the feedback whose answer is not in the database, and what to say of it.

    Args:
        home: whose database is written.
        rows: as `as_json` of `Interaction` and `Feedback` made them, with the name of their `table`.
        patience: seconds to wait for a locked database.

    Raises:
        Exception: the database takes nothing now. A row that it will never take is given up instead.
    """
    try:
        return _store(home, rows, patience)
    except Exception as error:
        if not is_of_a_row(error):
            raise
        if len(rows) == 1:
            give_up(rows[0], error)
            return []
    # One of them is to blame, and must not keep the others waiting: halving finds it in few transactions.
    half = len(rows) // 2
    return [each for some in (rows[:half], rows[half:]) for each in deliver_rows(home, some, patience)]


def give_up(row: Any, error: Exception) -> None:
    """Say that a row is lost, without what it says."""
    RECORDING_FAILURES.inc()
    name = row.get("inference_id") if isinstance(row, dict) else "a line that is no row"
    log.error("what belongs to %s was not recorded: %s", name, why(error))


def why(error: Exception) -> str:
    """An error for the log, in one line. Never the row: a log must not hold what users say."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    told = getattr(error, "orig", None) or getattr(error, "message", None)
    if told is None or isinstance(error, DataError) or type(error) is StatementError:  # these quote values
        return type(told or error).__name__
    return str(told).partition("\n")[0]  # Postgres goes on with the whole row


def is_of_a_row(error: Exception) -> bool:
    """Whether the row is to blame and not the database, so that it would be refused for ever."""
    if isinstance(error, (_NoRow, IntegrityError, DataError, UnicodeError, OverflowError)):
        return True
    return type(error) is StatementError  # a value cannot be bound; its subclasses are the driver's errors


class _NoRow(Exception):
    """A line of the journal that nobody here has written."""


def _store(home: Home, rows: Sequence[Any], patience: float) -> list[Unknown]:
    answers, said = _parse(rows)
    made, unknown = [], []
    with home.database.write(patience) as connection:
        if answers:
            connection.execute(insert_once(connection, interactions, "inference_id"), answers)
        for given in said:
            try:
                made.append((insert_feedback(connection, given), given))
            except ApiProblem as problem:
                if problem.code == UNKNOWN:
                    unknown.append((given, problem))
                else:
                    give_up({"inference_id": given.inference_id}, problem)
    for address, given in made:
        count_feedback(address, given)
    return unknown


def _parse(rows: Sequence[Any]) -> tuple[list[dict[str, Any]], list[Feedback]]:
    answers, said = [], []
    try:
        for row in rows:
            columns = {name: value for name, value in row.items() if name != "table"}
            if row["table"] == "feedback":
                said.append(Feedback.from_json(columns))
            else:
                answers.append({**columns, "created_at": datetime.fromisoformat(columns["created_at"])})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _NoRow from error
    return answers, said
