"""Routing of a real server follows the database, sticks to users, and survives a broken challenger."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import sqlalchemy as sa

from ft_assets.storage.tables import interactions
from ft_assets_tests.serving.conftest import PROMPT, Api, Installation, recorded, until
from ft_assets_tests.serving.factory import make_adapter, promote, release_adapter, set_weight, start_rollout

USERS = [f"user-{number}" for number in range(40)]


def arms(api: Api, model: str) -> dict[str, str]:
    return {user: api.ask(model, user=user, max_tokens=1).headers["x-ft-adapter"] for user in USERS}


def test_weights_are_followed_within_a_second_and_users_stay_where_they_are(
    api: Api, installation: Installation
):
    champion, challenger = installation.release("sticky", 2)
    promote(installation.home, "sticky", champion)
    rollout = start_rollout(installation.home, "sticky", challenger, champion, 0.25)
    until(lambda: (api.model("sticky") or {}).get("weight") == 0.25)
    quarter = arms(api, "sticky")
    assert quarter == arms(api, "sticky")
    assert 2 <= sum(arm == challenger for arm in quarter.values()) <= 20

    set_weight(installation.home, "sticky", 0.5)
    # A second is what is promised; a shared machine may be late in noticing that.
    assert until(lambda: (api.model("sticky") or {}).get("weight") == 0.5) < 2
    half = arms(api, "sticky")
    assert all(half[user] == challenger for user in USERS if quarter[user] == challenger)
    assert 10 <= sum(arm == challenger for arm in half.values()) <= 32

    recorded(installation.home, api.ask("sticky", max_tokens=1).json()["id"])  # and so are those before it
    rows = installation.home.database.rows(sa.select(interactions).where(interactions.c.model == "sticky"))
    assert {row["rollout"] for row in rows} == {rollout}
    assert {row["address"] for row in rows} == {champion, challenger}


def test_a_pinned_answer_is_no_evidence_for_a_rollout(api: Api, installation: Installation):
    champion, challenger = installation.release("pinned", 2)
    promote(installation.home, "pinned", champion)
    start_rollout(installation.home, "pinned", challenger, champion, 0.5)
    until(lambda: (api.model("pinned") or {}).get("challenger") == challenger)
    answer = api.ask(challenger).json()
    row = recorded(installation.home, answer["id"])
    assert (row["address"], row["rollout"]) == (challenger, None)


def test_a_rollback_takes_effect_within_a_second(api: Api, installation: Installation):
    first, second = installation.release("back", 2)
    promote(installation.home, "back", second)
    until(lambda: (api.model("back") or {}).get("champion") == second)
    promote(installation.home, "back", first)
    until(lambda: api.ask("back", max_tokens=1).headers["x-ft-adapter"] == first, seconds=2)
    promote(installation.home, "back", "base")
    until(lambda: api.ask("back", max_tokens=1).headers["x-ft-adapter"] == "base", seconds=2)


def test_a_rollback_holds_for_those_who_wait_and_those_who_are_being_answered_are_left_alone(
    api: Api, installation: Installation
):
    good, bad = installation.release("queued", 2)
    promote(installation.home, "queued", bad)
    until(lambda: (api.model("queued") or {}).get("champion") == bad)
    body = {"model": "queued", "messages": PROMPT, "max_tokens": 4_000, "stream": True}
    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        asked = [
            api.http.stream("POST", "/v1/chat/completions", json=body) for _ in range(8)
        ]  # fill the batch
        running = [stack.enter_context(each) for each in asked]
        waiting = [pool.submit(api.ask, "queued", user=f"user-{number}") for number in range(3)]
        until(lambda: "ft_assets_waiting_requests 3.0" in api.http.get("/metrics").text)
        promote(installation.home, "queued", good)
        until(lambda: (api.model("queued") or {}).get("champion") == good)
        assert not any(answer.done() for answer in waiting)
        assert {each.headers["x-ft-adapter"] for each in running} == {bad}
        for each in running:
            each.close()
        answers = [answer.result() for answer in waiting]
    assert [answer.headers["x-ft-adapter"] for answer in answers] == [good] * 3
    pinned = api.ask(good).json()["choices"][0]["message"]["content"]
    for answer in answers:
        assert answer.json()["choices"][0]["message"]["content"] == pinned
        row = recorded(installation.home, answer.json()["id"])
        assert (row["address"], row["answer"], row["answer_tokens"]) == (good, pinned, 6)


def broken(installation: Installation, how: str, seed: int) -> tuple[str, str]:
    """Model name and address of a release that must not be served."""
    home, model = installation.home, f"broken_{how}"
    adapter = make_adapter(home, installation.folder, seed)
    base = "f" * 64 if how == "base" else installation.base
    name = release_adapter(home, model, adapter, base, "fail" if how == "proof" else "pass")
    folder = home.artifacts.path("adapters", adapter)
    if how == "bytes":
        with (folder / "adapter_model.safetensors").open("ab") as file:
            file.write(b"\0")
    if how == "missing":
        shutil.rmtree(folder)
    return model, name


@pytest.mark.parametrize(("how", "seed"), [("bytes", 11), ("missing", 12), ("base", 13), ("proof", 14)])
def test_a_challenger_that_must_not_be_served_falls_back_and_leaves_evidence(
    api: Api, installation: Installation, how: str, seed: int
):
    model, challenger = broken(installation, how, seed)
    rollout = start_rollout(installation.home, model, challenger, "base", 1.0)
    until(lambda: (api.model(model) or {}).get("challenger") == challenger)
    answer = api.ask(model, user="ann")
    assert answer.status_code == 200
    assert answer.headers["x-ft-adapter"] == "base"

    def rows() -> dict[str, dict]:
        found = installation.home.database.rows(sa.select(interactions).where(interactions.c.model == model))
        return {row["address"]: row for row in found}

    until(lambda: len(rows()) == 2)
    assert rows()[challenger]["rollout"] == rollout
    assert "cannot be loaded" in rows()[challenger]["error"]
    assert (rows()["base"]["rollout"], rows()["base"]["error"]) == (None, None)
    assert f'ft_assets_fallbacks_total{{address="{challenger}"}} 1.0' in api.http.get("/metrics").text

    pinned = api.ask(challenger)
    refusal = pinned.json()["error"]
    assert (pinned.status_code, refusal["code"]) == (503, "adapter_unavailable")
    assert f"{challenger} cannot be loaded" in refusal["message"]
    assert installation.home.root not in refusal["message"] + rows()[challenger]["error"]
    if how in ("bytes", "missing"):  # the log has the place too
        told = f"{challenger} cannot be loaded: artifact .*{re.escape(installation.home.root)}"
        assert re.search(told, api.server.log.read_text())
