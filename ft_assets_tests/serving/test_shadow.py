"""A challenger that nobody is given yet, one that fails, and one that a tester asks for."""

import sqlalchemy as sa

from ft_assets.storage.tables import interactions
from ft_assets_tests.serving.conftest import PROMPT, Api, Installation, recorded, until
from ft_assets_tests.serving.factory import make_adapter, promote, release_adapter, set_weight, start_rollout


def rows(installation: Installation, model: str) -> list[dict]:
    query = sa.select(interactions).where(interactions.c.model == model)
    return installation.home.database.rows(query.order_by(interactions.c.created_at))


def test_a_challenger_of_weight_0_is_asked_in_the_background_and_never_heard(
    api: Api, installation: Installation
):
    champion, challenger = installation.release("shadowed", 2)
    promote(installation.home, "shadowed", champion)
    rollout = start_rollout(installation.home, "shadowed", challenger, champion, 0.0)
    until(lambda: (api.model("shadowed") or {}).get("challenger") == challenger)
    answer = api.ask("shadowed", user="ann")
    assert answer.headers["x-ft-adapter"] == champion
    until(lambda: len(rows(installation, "shadowed")) == 2)
    seen, shadow = rows(installation, "shadowed")
    assert (seen["inference_id"], seen["shadow"], seen["pair"]) == (answer.json()["id"], False, None)
    assert (shadow["address"], shadow["shadow"], shadow["pair"]) == (challenger, True, seen["inference_id"])
    assert seen["rollout"] == shadow["rollout"] == rollout
    assert (shadow["error"], shadow["messages"], shadow["user"]) == (None, PROMPT, seen["user"])
    pinned = api.ask(challenger).json()["choices"][0]["message"]["content"]
    assert shadow["answer"] == pinned != seen["answer"]

    set_weight(installation.home, "shadowed", 1.0)
    until(lambda: api.ask("shadowed", user="ann").headers["x-ft-adapter"] == challenger)
    now = [row["pair"] for row in rows(installation, "shadowed") if row["shadow"]]
    assert len(set(now)) == len(now)


def test_a_challenger_that_fails_while_it_answers_is_noted_and_the_champion_answers(
    api: Api, installation: Installation
):
    home = installation.home
    champion = installation.release("failing", 1)[0]
    adapter = make_adapter(home, installation.folder, 21, scale=float("inf"))
    challenger = release_adapter(home, "failing", adapter, installation.base)
    promote(home, "failing", champion)
    rollout = start_rollout(home, "failing", challenger, champion, 1.0)
    until(lambda: (api.model("failing") or {}).get("challenger") == challenger)
    expected = api.ask(champion).json()["choices"][0]["message"]["content"]
    answer = api.ask("failing", user="ann")
    assert (answer.status_code, answer.headers["x-ft-adapter"]) == (200, champion)
    assert answer.json()["choices"][0]["message"]["content"] == expected
    with api.http.stream(
        "POST",
        "/v1/chat/completions",
        json={"model": "failing", "messages": PROMPT, "max_tokens": 6, "stream": True},
    ) as stream:
        assert stream.headers["x-ft-adapter"] == champion
        assert "data: [DONE]" in stream.read().decode()
    until(lambda: len(rows(installation, "failing")) >= 5)
    failed = [row for row in rows(installation, "failing") if row["address"] == challenger]
    assert [(row["rollout"], row["shadow"]) for row in failed] == [(rollout, False)] * 2
    assert all("no number" in row["error"] for row in failed)
    given = [row for row in rows(installation, "failing") if row["address"] == champion]
    assert {(row["rollout"], row["error"]) for row in given} == {(None, None)}


def test_a_tester_on_this_machine_names_an_adapter_by_header_and_it_is_no_evidence(
    api: Api, installation: Installation
):
    champion, challenger = installation.release("tested", 2)
    promote(installation.home, "tested", champion)
    start_rollout(installation.home, "tested", challenger, champion, 0.0)
    until(lambda: (api.model("tested") or {}).get("challenger") == challenger)
    body = {"model": "tested", "messages": PROMPT, "max_tokens": 3}
    answer = api.http.post("/v1/chat/completions", json=body, headers={"x-ft-adapter": challenger})
    assert answer.json()["model"] == challenger
    recorded(installation.home, answer.json()["id"])
    (row,) = rows(installation, "tested")
    assert (row["address"], row["rollout"], row["shadow"]) == (challenger, None, False)
