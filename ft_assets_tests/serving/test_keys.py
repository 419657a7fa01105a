"""Keys through a real server: what each opens, what it does not, and how it ends."""

import asyncio
import json
from types import SimpleNamespace

import httpx
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from ft_assets.cli import cli
from ft_assets.errors import WrongInput
from ft_assets.serving.app import build_app
from ft_assets.serving.keys import active_keys, add_key, ever_keyed, list_keys, revoke_key
from ft_assets.serving.rates import Rates
from ft_assets.serving.routes import take_picture
from ft_assets.storage.home import Home
from ft_assets.storage.tables import api_keys, feedback
from ft_assets_tests.serving.conftest import Guarded, recorded, until


def test_a_key_is_stored_only_as_a_hash(home: Home) -> None:
    key_id, key = add_key(home, "ann", ["infer"], 5)
    (row,) = home.database.rows(sa.select(api_keys))
    assert key not in json.dumps(row, default=str)
    assert [(known.id, known.per_minute) for known in active_keys(home)] == [(key_id, 5)]
    assert "digest" not in list_keys(home)[0]


def test_the_end_of_the_last_key_opens_nothing(home: Home) -> None:
    """Without any key the same request is let in, and finds no model."""

    async def asked() -> int:
        app = build_app(())
        app.state.runtime = SimpleNamespace(routes=SimpleNamespace(picture=take_picture(home)))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.get("/v1/models/none")).status_code

    assert asyncio.run(asked()) == 404
    key_id, _ = add_key(home, "ann", ["infer"])
    assert asyncio.run(asked()) == 401
    revoke_key(home, key_id)
    assert asyncio.run(asked()) == 401


def test_scopes_must_exist_and_a_key_is_revoked_once(home: Home) -> None:
    for scopes in ([], ["infer", "everything"]):
        with pytest.raises(WrongInput, match="infer, feedback, admin"):
            add_key(home, "ann", scopes)
    key_id, _ = add_key(home, "ann", ["admin"])
    revoke_key(home, key_id)
    assert (active_keys(home), ever_keyed(home)) == ((), True)
    with pytest.raises(WrongInput, match="keys list"):
        revoke_key(home, key_id)


@pytest.mark.parametrize("name", ["", "  ", "an\nn", "a" * 65])
def test_a_key_has_a_name_to_be_known_by(home: Home, name: str) -> None:
    with pytest.raises(WrongInput, match="1 to 64 printable"):
        add_key(home, name, ["infer"])
    assert list_keys(home) == []


def test_the_command_line_makes_lists_and_revokes(home: Home) -> None:
    def run(*words: str) -> list[dict]:
        told = CliRunner().invoke(cli, ["keys", *words], catch_exceptions=False)
        assert told.exit_code == 0, told.output
        return json.loads(told.stdout) if told.stdout else []

    (made,) = run("add", "ann", "--scope", "infer", "--per-minute", "9", "--json")
    (row,) = run("list", "--json")
    assert (row["id"], row["scopes"], row["per_minute"], row["revoked_at"]) == (
        made["id"],
        ["infer"],
        9,
        None,
    )
    assert made["key"] not in json.dumps(row)
    run("revoke", made["id"])
    assert run("list", "--json")[0]["revoked_at"] is not None


def test_a_bucket_holds_a_minute_and_fills_evenly() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    assert [rates.take("a", 3) for _ in range(3)] == [0, 0, 0]
    assert rates.take("a", 3) == pytest.approx(20)
    assert rates.take("b", 3) == 0
    now = 20.1
    assert rates.take("a", 3) == 0
    assert rates.take("a", 3) > 0


def test_a_key_opens_what_its_scopes_say(guarded: Guarded) -> None:
    answer = guarded.ask("ann")
    assert answer.status_code == 200
    assert guarded.thumb("ann", answer.json()["id"], "mine").status_code == 200
    refused = guarded.thumb("reader", answer.json()["id"], "reader")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope")
    guarded.keys["nobody"] = ("", "ft-made-up")
    assert guarded.ask("nobody").status_code == 401


def test_one_keys_answers_are_closed_to_another_but_not_to_an_admin(guarded: Guarded) -> None:
    answer = guarded.ask("ann").json()["id"]
    refused = guarded.thumb("bob", answer, "k1")
    unknown = guarded.thumb("bob", "chat-of-nobody", "k1")
    assert refused.status_code == unknown.status_code == 404
    assert refused.json() == unknown.json()
    assert guarded.thumb("root", answer, "k1").status_code == 200
    assert recorded(guarded.home, answer)["api_key"] == guarded.keys["ann"][0]


def test_two_keys_may_use_the_same_idempotency_key(guarded: Guarded) -> None:
    for who in ("ann", "bob"):
        answer = guarded.ask(who).json()["id"]
        first, second = (guarded.thumb(who, answer, "1").json() for _ in range(2))
        assert (first["duplicate"], second["duplicate"]) == (False, True)
        rows = guarded.home.database.rows(sa.select(feedback).where(feedback.c.inference_id == answer))
        assert len(rows) == 1


def test_a_key_that_asks_too_often_is_told_when_to_come_again(guarded: Guarded) -> None:
    answers = [guarded.ask("slow") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 30
    assert guarded.ask("reader").status_code == 200


def test_an_adapter_is_named_by_header_only_with_an_admins_key(guarded: Guarded) -> None:
    named = {"x-ft-adapter": "base"}
    assert guarded.ask("ann", **named).status_code == 403
    assert guarded.ask("root", **named).status_code == 200
    assert guarded.ask("root", **{"x-ft-adapter": "nobody@000000000000"}).status_code == 404


def test_a_revoked_key_opens_nothing_within_seconds_and_no_key_is_logged(guarded: Guarded) -> None:
    guarded.keys["short"] = add_key(guarded.home, "short", ["infer"])
    until(lambda: guarded.ask("short").status_code == 200)
    revoke_key(guarded.home, guarded.keys["short"][0])
    until(lambda: guarded.ask("short").status_code == 401)
    log = guarded.server.log.read_text()
    assert not [name for name, (_, key) in guarded.keys.items() if key in log]
