"""The OpenAPI document says what the running server does: its routes, its answers, its refusals."""

import json
from typing import Any

import httpx
import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from starlette.routing import Route

from ft_assets.serving.app import build_app
from ft_assets.serving.openapi import document
from ft_assets_tests.serving.conftest import PROMPT, Api, Guarded

DOCUMENT = document(1 << 20, 4096)
METHODS = {"get", "post", "put", "patch", "delete"}


def operations() -> set[tuple[str, str]]:
    return {(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods}


def fits(name: str, content: Any) -> None:
    """Whether a value is what one of the document's schemas says."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(schema).validate(content)


def harmless(body: Any) -> Any:
    """The same body for a model that is there, and with a short answer, where it is one for completions."""
    if (
        not isinstance(body, dict)
        or not isinstance(body.get("model"), str)
        or not 0 < len(body["model"]) <= 200
    ):
        return body
    short = {name: 2 for name in ("max_tokens", "max_completion_tokens") if body.get(name) is not None}
    return {"max_tokens": 2, **body, **short, "model": "base"}


def test_it_has_every_route_of_the_application_and_no_other():
    routes = [route for route in build_app(()).routes if isinstance(route, Route)]
    methods = {route.path: (route.methods or set()) - {"HEAD"} for route in routes}
    served = {(path, method.lower()) for path, names in methods.items() for method in names}
    assert operations() == served


def test_it_says_its_limits_and_what_the_bodies_limit():
    body = DOCUMENT["components"]["schemas"]
    assert "1048576 bytes" in DOCUMENT["info"]["description"]
    assert "4096 tokens" in DOCUMENT["info"]["description"]
    assert body["ChatRequest"]["properties"]["tools"]["anyOf"][0]["maxItems"] == 128
    assert {"type": "string", "maxLength": 20_000} in body["FeedbackRequest"]["properties"]["value"]["anyOf"]


def test_any_key_opens_it_and_none_does_not(guarded: Guarded):
    url = f"{guarded.server.url}/openapi.json"
    assert httpx.get(url).status_code == 401
    for who in ("reader", "root"):
        answer = httpx.get(url, headers={"authorization": f"Bearer {guarded.keys[who][1]}"})
        assert answer.json()["openapi"] == "3.1.0"


@pytest.mark.parametrize(("path", "method"), sorted(operations()))
def test_another_method_is_refused_with_those_that_there_are(api: Api, path: str, method: str):
    for other in METHODS - {method}:
        answer = api.http.request(other, path.replace("{name}", "base"))
        assert (answer.status_code, method.upper() in answer.headers["allow"]) == (405, True)
        fits("ErrorBody", answer.json())


@pytest.mark.parametrize(
    ("path", "more", "shape"),
    [
        ("chat/completions", {"messages": PROMPT, "logprobs": True, "top_logprobs": 1}, "ChatChunk"),
        ("completions", {"prompt": "Once", "logprobs": 1}, "TextCompletion"),
    ],
)
def test_the_events_of_a_stream_are_what_it_says(api: Api, path: str, more: dict, shape: str):
    body = {"model": "base", "max_tokens": 3, "stream": True, "stream_options": {"include_usage": True}}
    answer = api.http.post(f"/v1/{path}", json={**body, **more})
    assert answer.headers["content-type"].startswith("text/event-stream")
    *events, done = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert done == "[DONE]"
    assert "usage" in json.loads(events[-1])
    for event in events:
        fits(shape, json.loads(event))


def test_stored_feedback_is_answered_as_it_says(api: Api):
    said = {"inference_id": api.ask("base").json()["id"], "kind": "thumb", "value": True}
    said["idempotency_key"] = said["inference_id"]
    for _ in range(2):  # the second is a duplicate
        answer = api.http.post("/v1/feedback", json=said)
        assert answer.status_code in (200, 202)
        fits("FeedbackStored", answer.json())


@pytest.mark.parametrize(("path", "method"), sorted(operations()))
def test_whatever_is_sent_the_answer_is_one_that_it_names(api: Api, path: str, method: str):
    """No status of 500 or above; status, media type, headers and body are those of the document.

    That a body which fits its schema is taken is not asked: the chat template or the context may have no place for it.
    """
    fuzz(api, path, method, "positive")


@pytest.mark.parametrize("path", sorted(path for path, method in operations() if method == "post"))
def test_what_it_forbids_is_refused(api: Api, path: str):
    fuzz(api, path, "post", "negative")


def fuzz(api: Api, path: str, method: str, mode: str) -> None:
    """Send what fits the document, or (negative) what does not, and hold each answer against it."""
    import schemathesis
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    operation = schemathesis.openapi.from_url(f"{api.server.url}/openapi.json")[path][method]

    @settings(
        max_examples=100,
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode)))
    def check(case: Any) -> None:
        case.body = harmless(case.body)
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    check()
