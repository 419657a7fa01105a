"""A rollout that has had traffic, as the live view finds it: a promoted champion, a challenger, answers, thumbs."""

from datetime import UTC, datetime, timedelta

import numpy as np
import sqlalchemy as sa

from ft_assets.bases.base_models import prepare_base
from ft_assets.recipe import Base
from ft_assets.registry.ledger import append
from ft_assets.rollout.rollout import Rollout, rollouts_of
from ft_assets.storage.home import Home
from ft_assets.storage.tables import feedback, interactions
from ft_assets_tests.serving.factory import make_adapter, promote, release_adapter, start_rollout

HOSTILE = '<script>document.title="taken"</script><b>bold</b> &amp; "quoted"'
"""The challenger's last answer."""


def stage_anew(home: Home, model: str, answers: int = 60) -> Rollout:
    """`stage` on the tiny base with two adapters made for it."""
    tiny = {"name": "tiny-random", "hub": None, "package": None, "tiny": True}
    base, folder = prepare_base(home, Base.model_validate(tiny))
    champion, challenger = (
        release_adapter(home, model, make_adapter(home, folder, seed), base) for seed in (1, 2)
    )
    return stage(home, model, champion, challenger, answers)


def stage(home: Home, model: str, champion: str, challenger: str, answers: int = 60) -> Rollout:
    """A running rollout with `answers` judged answers of each arm, of which 9 in 10 and 7 in 10 are liked."""
    promote(home, model, champion)
    rollout = start_rollout(home, model, challenger, champion, 0.25)
    with home.database.write() as connection:
        details = {"rollout": rollout, "step": 0, "weight": 0.25}
        append(connection, model, "canary", challenger, champion, "ann", "<i>tried</i>", details)
    _answer(home, model, rollout, champion, challenger, answers)
    return rollouts_of(home, model)[-1]


def _answer(home: Home, model: str, rollout: str, champion: str, challenger: str, answers: int) -> None:
    random, began = np.random.default_rng(0), datetime.now(UTC)
    given, said = [], []
    for number in range(2 * answers):
        mine, name = bool(number % 2), f"{model}-{number}"
        at = began + timedelta(milliseconds=number)
        last = number == 2 * answers - 1
        row = {
            "inference_id": name,
            "model": model,
            "address": challenger if mine else champion,
            "user": name,
        }
        text = HOSTILE if last else f"Answer {number} of the {'challenger' if mine else 'champion'}."
        asked = [{"role": "user", "content": f"Question {number // 2}?"}]
        given.append(
            {
                **row,
                "rollout": rollout,
                "messages": asked,
                "answer": text,
                "slice": "default",
                "prompt_tokens": 5,
                "answer_tokens": int(random.integers(10, 30)),
                "latency_ms": float(random.lognormal(6, 0.4)),
                "created_at": at,
            }
        )
        word = {"idempotency_key": f"thumb-{name}", "inference_id": name, "model": model, "kind": "thumb"}
        liked = random.random() < (0.7 if mine else 0.9)
        said.append({**word, "value": "up" if liked else "down", "received_at": at})
    with home.database.write() as connection:
        connection.execute(sa.insert(interactions), given)
        connection.execute(sa.insert(feedback), said)
