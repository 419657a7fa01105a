"""Paths that nothing answers: refused in the API's own form, whoever runs the routes."""

import httpx
import pytest

from ft_assets_tests.serving.conftest import Api, Guarded


@pytest.mark.parametrize(
    "path", ["/nowhere", "/v1", "/v1/chat", "/v1/models/", "/live/more", "/metrics/more"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_an_unknown_path_is_refused_in_the_apis_form(api: Api, method: str, path: str):
    refused = api.http.request(method, path)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")


def test_known_paths_still_say_which_methods_they_take(api: Api):
    for method, path, allowed in [("GET", "/v1/feedback", "POST"), ("POST", "/v1/models", "GET")]:
        refused = api.http.request(method, path)
        assert (refused.status_code, allowed in refused.headers["allow"]) == (405, True)
    for path in ("/healthz", "/livez", "/readyz", "/metrics"):
        assert api.http.get(path).status_code == 200


def test_without_a_key_nobody_learns_which_paths_there_are(guarded: Guarded):
    assert httpx.get(f"{guarded.server.url}/nowhere").status_code == 401
