"""What users corrected becomes a batch of examples, each piece of feedback exactly once.

Three steps, each of them safe to repeat: claim the open rows; open the batch of what was claimed; put the
batch's key in place of the claim. Whoever comes after a crash finds the claim, makes the same examples of
it, and so gets the same batch. Feedback that arrives in between is not in the claim and waits its turn.
"""

import uuid
from typing import Any

import sqlalchemy as sa

from ft_assets.recipe import Recipe
from ft_assets.sources.batches import open_batch
from ft_assets.sources.example import Example, Message
from ft_assets.storage.home import Home
from ft_assets.storage.tables import feedback, interactions

FEEDBACK_LICENSE = "LicenseRef-user-feedback"
"""SPDX's form for terms outside its list: the terms under which users send feedback are the operator's own.
A recipe with `curation.allowed_licenses` must name it there, else corrections are rejected with that reason."""

# A thumb up is not taken: an approved answer is the model's own output, and a model that is trained on its own
# output narrows with every round. Only people's words are.
_TAKEN = ("edit", "demonstration")
# The edit of an answer that its user cut off may end where that did, and a model would learn to stop there.
_OF_WHOLE_ANSWERS = sa.or_(
    feedback.c.kind != "edit",
    feedback.c.inference_id.not_in(sa.select(interactions.c.inference_id).where(interactions.c.cancelled)),
)
_CLAIM = "claim-"


def take_feedback(home: Home, recipe: Recipe) -> str | None:
    """Open a batch of the corrections that no batch holds yet, and mark them with its key.

    Returns:
        The key of the batch; None while there are fewer corrections than `retrain.min_batch_rows`.
    """
    claim = _unfinished_claim(home, recipe.model) or _claim(home, recipe)
    if claim is None:
        return None
    examples = _examples(home, claim)
    key = open_batch(home, recipe.model, examples, "feedback")
    if key is not None:  # else another process finished this claim between our two looks
        with home.database.write() as connection:
            connection.execute(sa.update(feedback).where(feedback.c.batch == claim).values(batch=key))
    return key


def _unfinished_claim(home: Home, model: str) -> str | None:
    claimed = sa.select(feedback.c.batch).where(
        feedback.c.model == model, feedback.c.batch.startswith(_CLAIM, autoescape=True)
    )
    row = home.database.row(claimed.limit(1))
    return None if row is None else row["batch"]


def _claim(home: Home, recipe: Recipe) -> str | None:
    is_open = (
        feedback.c.model == recipe.model,
        feedback.c.batch.is_(None),
        feedback.c.kind.in_(_TAKEN),
        _OF_WHOLE_ANSWERS,
    )
    answers = sa.select(sa.func.count(feedback.c.inference_id.distinct())).where(*is_open)
    claim = f"{_CLAIM}{uuid.uuid4().hex[:12]}"
    with home.database.write() as connection:
        if (connection.scalar(answers) or 0) < recipe.retrain.min_batch_rows:
            return None
        connection.execute(sa.update(feedback).where(*is_open).values(batch=claim))
    return claim


def _examples(home: Home, claim: str) -> list[Example]:
    """One example for every corrected answer; its latest correction counts, and the earlier ones are spent."""
    said = (feedback.c[name] for name in ("inference_id", "value", "author", "received_at"))
    pairs = (
        sa.select(*said, interactions.c.messages, interactions.c.slice)
        .join(interactions, interactions.c.inference_id == feedback.c.inference_id)
        .where(feedback.c.batch == claim)
        .order_by(feedback.c.received_at, feedback.c.idempotency_key)
    )
    latest = {row["inference_id"]: row for row in home.database.rows(pairs)}
    return [_example(latest[inference_id]) for inference_id in sorted(latest)]


def _example(row: dict[str, Any]) -> Example:
    asked = tuple(
        Message(**{name: turn.get(name) for name in Message.model_fields}) for turn in row["messages"]
    )
    return Example(
        messages=(*asked, Message(role="assistant", content=row["value"])),
        source="production",
        license=FEEDBACK_LICENSE,
        slice=row["slice"],
        author=row["author"],
        created_at=row["received_at"],
        kind="correction",
        parents=(row["inference_id"],),
    )
