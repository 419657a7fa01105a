"""Live traffic as the service records it: answers of both arms, and what people say about them."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from ft_assets.recipe import Recipe
from ft_assets.registry.releases import release
from ft_assets.registry.routing import choose, route
from ft_assets.rollout.evidence import read_evidence
from ft_assets.rollout.judge import Verdict
from ft_assets.rollout.judge import judge as judged
from ft_assets.rollout.rollout import Rollout, open_rollout
from ft_assets.rollout.start import start
from ft_assets.storage.home import Home
from ft_assets.storage.tables import feedback, interactions
from ft_assets_tests.registry.attempts import passed


def canary(home: Home, recipe: Recipe, name: str = "one") -> Rollout:
    """A running rollout of a candidate that passed its gate."""
    candidate = passed(home, recipe, name)
    release(home, recipe.model, candidate.key)
    return start(home, recipe.model, candidate.key, by="ada@example.org")


def answer(
    home: Home,
    rollout: Rollout,
    address: str,
    user: str | None = None,
    text: str = "An answer.",
    error: str | None = None,
    **columns: Any,
) -> str:
    """One recorded answer, `columns` of it as given; returns its inference id."""
    row = {
        "inference_id": uuid.uuid4().hex,
        "model": rollout.model,
        "address": address,
        "rollout": rollout.id,
        "user": user,
        "messages": [{"role": "user", "content": "A question."}],
        "answer": text,
        "slice": "default",
        "prompt_tokens": 3,
        "answer_tokens": 2,
        "latency_ms": 12.0,
        "error": error,
        "created_at": datetime.now(UTC),
        **columns,
    }
    with home.database.write() as connection:
        connection.execute(sa.insert(interactions).values(row))
    return row["inference_id"]


def mirrored(
    home: Home,
    rollout: Rollout,
    count: int,
    error: str | None = None,
    text: str = "An answer.",
    **columns: Any,
) -> None:
    """`count` requests of the shadow step; the challenger's answers are as told."""
    for _ in range(count):
        seen = answer(home, rollout, rollout.control, uuid.uuid4().hex)
        shadow = {"shadow": True, "pair": seen, **columns}
        answer(home, rollout, rollout.challenger, uuid.uuid4().hex, text, error, **shadow)


def look_later(home: Home, model: str = "tiny") -> Verdict:
    """What a look in ten minutes finds: by then every answer of now has ended."""
    rollout = open_rollout(home, model)
    assert rollout is not None
    return judged(rollout, read_evidence(home, rollout), datetime.now(UTC) + timedelta(minutes=10))


def judge(home: Home, inference_id: str, kind: str, value: Any, model: str = "tiny") -> None:
    """One piece of feedback."""
    row = {
        "idempotency_key": uuid.uuid4().hex,
        "inference_id": inference_id,
        "model": model,
        "kind": kind,
        "value": value,
        "received_at": datetime.now(UTC),
    }
    with home.database.write() as connection:
        connection.execute(sa.insert(feedback).values(row))


def thumbs(home: Home, rollout: Rollout, address: str, ups: Iterable[bool]) -> None:
    """Judged answers of one arm, each to a user of its own."""
    for up in ups:
        judge(home, answer(home, rollout, address, uuid.uuid4().hex), "thumb", "up" if up else "down")


def both(home: Home, rollout: Rollout, challenger: bool, control: bool, count: int) -> None:
    """`count` judged answers of each arm, in turn; every judgement of an arm is the same."""
    for _ in range(count):
        thumbs(home, rollout, rollout.challenger, [challenger])
        thumbs(home, rollout, rollout.control, [control])


def routed(home: Home, rollout: Rollout, users: Iterable[str], challenger: bool, control: bool) -> None:
    """One judged answer to each user, from the arm that routing gives them now."""
    present = route(home, rollout.model)
    for user in users:
        address = choose(present, user).address
        up = challenger if address == rollout.challenger else control
        judge(home, answer(home, rollout, address, user), "thumb", "up" if up else "down")
