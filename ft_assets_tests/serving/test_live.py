"""The live view of a real server: who sees it, and that its figures are the judge's."""

import asyncio
import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import httpx
import pytest
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from ft_assets.recipe import Recipe
from ft_assets.rollout.evidence import read_evidence
from ft_assets.rollout.judge import judge
from ft_assets.rollout.rollout import Rollout
from ft_assets.serving import live_view
from ft_assets.serving.access import Caller
from ft_assets.serving.live import live_figures
from ft_assets.serving.live_answers import recent_pairs
from ft_assets.serving.live_page import live_page
from ft_assets.serving.live_view import LiveView
from ft_assets.serving.routes import take_picture
from ft_assets.storage.home import Home
from ft_assets.storage.tables import interactions, rollouts
from ft_assets_tests.rollout.traffic import answer, both, canary, mirrored
from ft_assets_tests.serving.conftest import Api, Guarded, until
from ft_assets_tests.serving.factory import promote
from ft_assets_tests.serving.live_traffic import HOSTILE, stage_anew


@pytest.fixture(scope="module")
def watched(guarded: Guarded) -> Rollout:
    rollout = stage_anew(guarded.home, "watched")
    until_whole(guarded, rollout)
    return rollout


def until_whole(guarded: Guarded, rollout: Rollout) -> None:
    """Wait for figures that were made after the last answer, from a picture of the routes that knows the rollout."""

    def is_whole(model: dict) -> bool:
        if model["challenger"] != rollout.challenger:
            return False
        return model["rollout"]["signals"]["reward"]["answers"] == [60, 60]

    until(lambda: any(is_whole(model) for model in figures(guarded)["models"]), seconds=30)


def see(guarded: Guarded, who: str, path: str = "/live") -> httpx.Response:
    headers = {"authorization": f"Bearer {guarded.keys[who][1]}"}
    return httpx.get(f"{guarded.server.url}{path}", headers=headers, timeout=60)


def figures(guarded: Guarded) -> dict:
    return see(guarded, "root", "/live.json").json()


def model_of(guarded: Guarded, name: str) -> dict:
    return next(model for model in figures(guarded)["models"] if model["model"] == name)


@pytest.mark.parametrize("path", ["/live", "/live.json"])
def test_only_an_admin_sees_it(guarded: Guarded, path: str):
    assert see(guarded, "root", path).status_code == 200
    assert see(guarded, "ann", path).status_code == 403
    unknown = httpx.get(f"{guarded.server.url}{path}")
    assert unknown.status_code == 401
    assert any(way.startswith("Basic ") for way in unknown.headers.get_list("www-authenticate"))


def test_a_browser_gives_the_key_as_password_and_only_here(guarded: Guarded):
    key = guarded.keys["root"][1]
    assert httpx.get(f"{guarded.server.url}/live", auth=("anybody", key), timeout=60).status_code == 200
    assert httpx.get(f"{guarded.server.url}/live", auth=("anybody", f"{key}x")).status_code == 401
    assert httpx.get(f"{guarded.server.url}/live", auth=(key, "")).status_code == 401
    broken = httpx.get(f"{guarded.server.url}/live", headers={"authorization": "Basic no-base64"})
    assert broken.status_code == 401
    elsewhere = httpx.get(f"{guarded.server.url}/v1/models", auth=("anybody", key))
    assert elsewhere.status_code == 401
    assert not any("Basic" in way for way in elsewhere.headers.get_list("www-authenticate"))


def test_without_keys_a_name_that_leads_to_this_machine_opens_nothing(api: Api):
    refused = api.http.get("/live", headers={"host": "evil.example"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "wrong_host")


def test_its_figures_are_those_of_the_judge(guarded: Guarded, watched: Rollout):
    seen = model_of(guarded, "watched")
    judged = judge(watched, read_evidence(guarded.home, watched), datetime.now(UTC))
    assert (seen["champion"], seen["challenger"], seen["weight"]) == (
        watched.control,
        watched.challenger,
        0.25,
    )
    shown = seen["rollout"]
    assert (shown["next"], shown["reason"]) == (judged.move, judged.reason)
    for name, signal in judged.figures["signals"].items():
        assert signal.items() <= shown["signals"][name].items()
    last = shown["signals"]["reward"]["course"][-1]
    assert last["matches"] == 60
    assert [last[bound] for bound in ("low", "high")] == [
        shown["signals"]["reward"][bound] for bound in ("low", "high")
    ]
    assert [entry["action"] for entry in seen["ledger"]] == ["canary", "promote"]


def test_the_latest_answers_stand_beside_those_to_the_same_question(guarded: Guarded, watched: Rollout):
    pairs = model_of(guarded, "watched")["rollout"]["answers"]
    assert len(pairs) == 10
    assert pairs[0]["challenger"]["answer"] == HOSTILE
    assert all(pair["challenger"]["question"] == pair["control"]["question"] for pair in pairs)


def test_the_page_runs_nothing_and_shows_what_others_wrote_as_text(guarded: Guarded, watched: Rollout):
    page = see(guarded, "root")
    policy = page.headers["content-security-policy"]
    (style,) = re.findall("<style>(.*?)</style>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy
    assert page.headers["cache-control"] == "no-store"
    assert "<script" not in page.text
    assert "<i>tried" not in page.text
    assert "&lt;script&gt;document.title=&quot;taken&quot;&lt;/script&gt;" in page.text
    assert " style=" not in page.text  # the policy would drop it
    assert '<meta http-equiv="refresh" content="5">' in page.text


def test_a_locked_database_can_still_be_watched(guarded: Guarded, watched: Rollout):
    with guarded.home.database.write() as connection:
        connection.execute(sa.update(rollouts).values(updated_at=datetime.now(UTC)))
        before = figures(guarded)["at"]
        until(lambda: figures(guarded)["at"] > before, seconds=30)  # made anew, not kept


async def ledgers(home: Home) -> list[int]:
    """Lengths of the ledger as two looks show it, between which it grows."""
    view, app = LiveView(), Starlette()
    app.router.routes.extend(view.routes())
    app.state.runtime = SimpleNamespace(home=home, routes=SimpleNamespace(picture=take_picture(home)))

    async def admitted(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {"caller": Caller(None)}}, receive, send)

    transport = httpx.ASGITransport(admitted)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        first = await client.get("/live.json")
        promote(home, "watched", "base")
        second = await client.get("/live.json")
    return [len(seen.json()["models"][0]["ledger"]) for seen in (first, second)]


@pytest.mark.parametrize(("kept", "lengths"), [(3600.0, [1, 1]), (0.0, [1, 2])])
def test_figures_are_kept_for_a_while(
    home: Home, monkeypatch: pytest.MonkeyPatch, kept: float, lengths: list[int]
):
    monkeypatch.setattr(live_view, "KEPT_SECONDS", kept)
    monkeypatch.setattr(live_view, "REST", 0.0)
    promote(home, "watched", "base")
    assert asyncio.run(ledgers(home)) == lengths


@pytest.mark.parametrize(("state", "weight"), [("promoted", 1.0), ("rolled_back", 0.0), ("running", 0.25)])
def test_a_rollout_that_has_ended_is_shown_without_a_next_move(
    home: Home, recipe: Recipe, state: str, weight: float
):
    rollout = canary(home, recipe)
    both(home, rollout, True, True, 8)
    with home.database.write() as connection:
        connection.execute(sa.update(rollouts).values(state=state, weight=weight))
    (model,) = live_figures(home, take_picture(home))["models"]
    shown = model["rollout"]
    assert (shown["state"], shown["next"]) == (state, "wait" if state == "running" else None)
    assert shown["signals"]["reward"]["course"][-1]["matches"] == 8
    assert ("next: <b>" in live_page({"at": "now", "models": [model]})) == (state == "running")


def test_an_answer_in_the_shadow_stands_beside_the_one_that_was_seen(home: Home, recipe: Recipe):
    rollout = canary(home, recipe)
    mirrored(home, rollout, 12)
    answer(home, rollout, rollout.control, text="seen by a user, and not mirrored")
    pairs = recent_pairs(home, rollout)
    twins = {
        row["inference_id"]: row["pair"]
        for row in home.database.rows(sa.select(interactions).where(interactions.c.shadow))
    }
    assert len(pairs) == 10
    assert all(twins[pair["challenger"]["inference_id"]] == pair["control"]["inference_id"] for pair in pairs)


def test_an_answer_whose_twin_is_lost_takes_no_other_answers_twin(home: Home, recipe: Recipe):
    rollout = canary(home, recipe)
    began = datetime.now(UTC)

    def ask(at: int, what: str, address: str, **columns: object) -> str:
        turns = [{"role": "user", "content": what}]
        moment = began + timedelta(seconds=at)
        return answer(home, rollout, address, messages=turns, created_at=moment, **columns)

    for number in range(3):
        seen = ask(10 * number, f"question {number}", rollout.control)
        ask(10 * number + 1, f"question {number}", rollout.challenger, shadow=True, pair=seen)
    ask(22, "a lost one", rollout.challenger, shadow=True, pair="lost")
    lost, *others = recent_pairs(home, rollout)
    assert (lost["challenger"]["question"], lost["control"]) == ("user: a lost one", None)
    assert [pair["challenger"]["question"] for pair in others] == [
        f"user: question {number}" for number in (2, 1, 0)
    ]
    assert all(pair["challenger"]["question"] == pair["control"]["question"] for pair in others)


def test_a_challenger_without_answers_leaves_its_side_empty(home: Home, recipe: Recipe):
    rollout = canary(home, recipe)
    answer(home, rollout, rollout.control)
    ((challenger, control),) = [(pair["challenger"], pair["control"]) for pair in recent_pairs(home, rollout)]
    assert challenger is None
    assert control["answer"] == "An answer."


def test_an_answer_that_was_cut_off_and_the_tokens_are_shown_as_such(home: Home, recipe: Recipe):
    rollout = canary(home, recipe)
    both(home, rollout, True, True, 20)
    answer(home, rollout, rollout.challenger, cancelled=True, answer_tokens=400)
    figures = live_figures(home, take_picture(home))
    page = live_page(figures)
    assert page.count('<p class="cut">cut off by the user</p>') == 1
    assert "failed:" not in page
    assert "<p>2.0 tokens against 2.0 tokens; less is better</p>" in page
    arms = figures["models"][0]["rollout"]["arms"]
    assert (arms["challenger"]["cancelled"], arms["control"]["cancelled"]) == (1, 0)
