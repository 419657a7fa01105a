"""Storing what people say about answers: clients may send a thing twice, and it is stored once."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ft_assets.serving.metrics import FEEDBACK
from ft_assets.serving.problems import ApiProblem
from ft_assets.serving.requests import FeedbackRequest
from ft_assets.storage.home import Home
from ft_assets.storage.tables import feedback, interactions


def store_feedback(home: Home, request: FeedbackRequest, author: str | None) -> bool:
    """Store feedback, bound to the answer it is about; True if this call made the row.

    Args:
        home: whose database is written.
        request: validated feedback.
        author: the user's hash.

    Raises:
        ApiProblem: 404 no such answer; 409 the key was used before, for other feedback.
    """
    about = sa.select(interactions.c.model, interactions.c.address).where(
        interactions.c.inference_id == request.inference_id
    )
    with home.database.write() as connection:
        answered = connection.execute(about).mappings().first()
        if answered is None:
            raise ApiProblem(
                404,
                "no answer has this inference_id; it is the `id` of a chat completion",
                param="inference_id",
                code="unknown_inference",
            )
        row = _row(request, answered["model"], author)
        made = connection.execute(_insert_once(connection, row)).rowcount == 1
        if not made:
            _refuse_another(connection, row)
    if made:
        FEEDBACK.labels(answered["address"], request.kind).inc()
    return made


def _row(request: FeedbackRequest, model: str, author: str | None) -> dict[str, Any]:
    return {
        "idempotency_key": request.idempotency_key,
        "inference_id": request.inference_id,
        "model": model,
        "kind": request.kind,
        "value": request.value,
        "author": author,
        "received_at": datetime.now(UTC),
    }


def _insert_once(connection: sa.Connection, row: dict[str, Any]) -> sa.Insert:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return insert(feedback).values(row).on_conflict_do_nothing(index_elements=["idempotency_key"])


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
