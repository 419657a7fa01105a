"""Users who press "stop" while a challenger answers: neither its failures nor the end of its rollout."""

import sqlalchemy as sa

from ft_assets.registry.ledger import append
from ft_assets.rollout.controller import step
from ft_assets.storage.tables import interactions
from ft_assets_tests.serving.conftest import PROMPT, Api, Installation, until
from ft_assets_tests.serving.factory import promote, start_rollout


def test_users_who_stop_every_answer_of_the_challenger_roll_nothing_back(
    api: Api, installation: Installation
):
    champion, challenger = installation.release("stopped", 2)
    promote(installation.home, "stopped", champion)
    rollout = start_rollout(installation.home, "stopped", challenger, champion, 1 - 1e-9)  # all users
    with installation.home.database.write() as connection:
        details = {"rollout": rollout, "step": 0, "weight": 1.0}
        append(connection, "stopped", "canary", challenger, champion, "ann", "tried", details)
    until(lambda: (api.model("stopped") or {}).get("challenger") == challenger)
    body = {"model": "stopped", "messages": PROMPT, "max_tokens": 4_000, "temperature": 1.5, "stream": True}
    for number in range(10):
        asked = {**body, "seed": number, "user": f"user {number}"}
        with api.http.stream("POST", "/v1/chat/completions", json=asked) as stream:
            next(stream.iter_lines())
    cut = sa.select(interactions).where(interactions.c.address == challenger, interactions.c.cancelled)
    until(lambda: len(installation.home.database.rows(cut)) == 10)
    verdict = step(installation.home, "stopped")
    assert verdict is not None and verdict.move != "rollback"
    arm = verdict.figures["challenger"]
    assert (arm["requests"], arm["cancelled"], arm["failed"], arm["judged"]) == (10, 10, 0, 0)
