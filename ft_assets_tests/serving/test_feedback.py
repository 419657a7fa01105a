"""Feedback through a real server: sent any number of times, stored once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from ft_assets.storage.tables import feedback
from ft_assets_tests.serving.conftest import Api, Installation


@pytest.fixture(scope="module")
def inference_id(api: Api) -> str:
    return api.ask("base", user="ann").json()["id"]


def stored(installation: Installation, key: str) -> list[dict]:
    return installation.home.database.rows(sa.select(feedback).where(feedback.c.idempotency_key == key))


def test_feedback_sent_many_times_at_once_is_one_row(api: Api, installation: Installation, inference_id: str):
    body = {
        "inference_id": inference_id,
        "kind": "edit",
        "value": "Better.",
        "idempotency_key": "many",
        "user": "ann",
    }
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.http.post("/v1/feedback", json=body), range(24)))
    assert {answer.status_code for answer in answers} == {200}
    assert sum(not answer.json()["duplicate"] for answer in answers) == 1
    (row,) = stored(installation, "many")
    assert (row["model"], row["kind"], row["value"], row["batch"]) == ("base", "edit", "Better.", None)
    assert len(row["author"]) == 64


def test_feedback_that_comes_as_soon_as_its_answer_finds_it(api: Api, installation: Installation):
    for number in range(200):
        answer = api.ask("base", max_tokens=1).json()["id"]
        body = {
            "inference_id": answer,
            "kind": "thumb",
            "value": True,
            "idempotency_key": f"at-once-{number}",
        }
        reply = api.http.post("/v1/feedback", json=body)
        assert (reply.status_code, reply.json()["stored"]) == (200, True)
    assert len(stored(installation, "at-once-199")) == 1


def test_a_thumb_is_stored_in_one_form_and_an_escalation_without_words(
    api: Api, installation: Installation, inference_id: str
):
    for key, kind, value in [("t", "thumb", True), ("e", "escalation", None)]:
        body = {"inference_id": inference_id, "kind": kind, "value": value, "idempotency_key": key}
        assert api.http.post("/v1/feedback", json=body).status_code == 200
    assert stored(installation, "t")[0]["value"] == "up"
    assert stored(installation, "e")[0]["value"] is None


def test_a_key_used_for_something_else_is_refused_and_the_first_row_stays(
    api: Api, installation: Installation, inference_id: str
):
    body = {"inference_id": inference_id, "kind": "thumb", "value": "up", "idempotency_key": "twice"}
    api.http.post("/v1/feedback", json=body)
    answer = api.http.post("/v1/feedback", json={**body, "value": "down"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "key_reused")
    assert [row["value"] for row in stored(installation, "twice")] == ["up"]


def test_feedback_on_an_unknown_answer_is_refused(api: Api, installation: Installation):
    body = {"inference_id": "chat-of-nobody", "kind": "thumb", "value": True, "idempotency_key": "lost"}
    answer = api.http.post("/v1/feedback", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "inference_id")
    assert stored(installation, "lost") == []


def test_a_wrong_value_is_refused(api: Api, inference_id: str):
    body = {"inference_id": inference_id, "kind": "thumb", "value": "maybe", "idempotency_key": "wrong"}
    answer = api.http.post("/v1/feedback", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "value")
