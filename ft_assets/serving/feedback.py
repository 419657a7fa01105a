"""Storing what people say about answers: clients may send a thing twice, and it is stored once."""

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ft_assets.serving.metrics import FEEDBACK
from ft_assets.serving.problems import ApiProblem
from ft_assets.storage.home import Home
from ft_assets.storage.tables import feedback, interactions

UNKNOWN = "unknown_inference"
"""Code of the problem that no answer has the id, or not for this sender."""


@dataclass(frozen=True)
class Feedback:
    """One piece of feedback, and who sent it.

    Attributes:
        author: the user's hash.
        api_key: id of the key that sent it; None on loopback.
        any_answer: whether the sender may speak about answers to other keys.
    """

    inference_id: str
    kind: str
    value: str | None
    idempotency_key: str
    author: str | None
    api_key: str | None
    any_answer: bool
    received_at: datetime

    def as_json(self) -> dict[str, Any]:
        """For a file on disk."""
        return {**asdict(self), "received_at": self.received_at.isoformat()}

    @classmethod
    def from_json(cls, row: dict[str, Any]) -> "Feedback":
        """From a file on disk."""
        return cls(**{**row, "received_at": datetime.fromisoformat(row["received_at"])})


def store_feedback(home: Home, given: Feedback, patience: float | None = None) -> bool:
    """Store feedback, bound to the answer it is about; True if this call made the row.

    Args:
        home: whose database is written.
        given: validated feedback.
        patience: seconds to wait for a locked database.

    Raises:
        ApiProblem: see `insert_feedback`.
    """
    with home.database.write(patience) as connection:
        address = insert_feedback(connection, given)
    count_feedback(address, given)
    return address is not None


def insert_feedback(connection: sa.Connection, given: Feedback) -> str | None:
    """Store feedback in a transaction of the caller's; returns who gave the answer, or None if the row was there.

    Raises:
        ApiProblem: 404 no such answer, or one given to another key; 409 the idempotency key was used before, for
            other feedback. Nothing is written then, and the transaction may go on.
    """
    names = ("model", "address", "api_key")
    about = sa.select(*(interactions.c[name] for name in names)).where(
        interactions.c.inference_id == given.inference_id
    )
    answered = connection.execute(about).mappings().first()
    if answered is None or not (given.any_answer or answered["api_key"] == given.api_key):
        raise ApiProblem(
            404,
            "no answer has this inference_id; it is the `id` of a completion that was given to you",
            param="inference_id",
            code=UNKNOWN,
        )
    row = _row(given, answered["model"])
    insert = insert_once(connection, feedback, "idempotency_key").values(row)
    # Not `rowcount`, which Postgres does not tell of an insert.
    if connection.execute(insert.returning(feedback.c.idempotency_key)).first() is not None:
        return answered["address"]
    _refuse_another(connection, row)
    return None


def count_feedback(address: str | None, given: Feedback) -> None:
    """Count what `insert_feedback` has returned, once it is committed."""
    if address is not None:
        FEEDBACK.labels(address, given.kind).inc()


def insert_once(connection: sa.Connection, table: sa.Table, key: str) -> sa.Insert:
    """An insert that leaves out rows whose key is there."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return insert(table).on_conflict_do_nothing(index_elements=[key])


def _row(given: Feedback, model: str) -> dict[str, Any]:
    names = ("inference_id", "kind", "value", "author", "received_at")
    row = {name: getattr(given, name) for name in names}
    return {**row, "idempotency_key": _own_key(given), "model": model}


def _own_key(given: Feedback) -> str:
    """The idempotency key, in a space of the sender's own: two customers may both send `1`."""
    if given.api_key is None:
        return given.idempotency_key
    return hashlib.sha256(f"{given.api_key}\0{given.idempotency_key}".encode()).hexdigest()


def _refuse_another(connection: sa.Connection, row: dict[str, Any]) -> None:
    same = feedback.c.idempotency_key == row["idempotency_key"]
    stored = connection.execute(sa.select(feedback).where(same)).mappings().one()
    if any(stored[name] != row[name] for name in ("inference_id", "kind", "value")):
        raise ApiProblem(
            409,
            "this idempotency_key was used for other feedback; make a new key for each piece",
            param="idempotency_key",
            code="key_reused",
        )
