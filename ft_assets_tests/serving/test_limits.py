"""Limits that the environment sets, and what a client sees of them."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from ft_assets.errors import WrongInput
from ft_assets.serving.launch import Server
from ft_assets.serving.limits import Limits, read_limits
from ft_assets_tests.serving.conftest import PROMPT, Installation


def test_the_usual_limits(monkeypatch: pytest.MonkeyPatch):
    for name in ("BODY_BYTES", "TOKENS", "WAITING", "CONNECTIONS"):
        monkeypatch.delenv(f"FT_ASSETS_MAX_{name}", raising=False)
    monkeypatch.setenv("FT_ASSETS_ADAPTER_MB", "3")
    assert read_limits() == Limits(adapter_bytes=3 << 20)


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "²"])
def test_a_limit_is_a_positive_whole_number(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FT_ASSETS_MAX_WAITING", text)
    with pytest.raises(WrongInput, match="FT_ASSETS_MAX_WAITING"):
        read_limits()


ALLOW = """
import resource
from ft_assets.serving.limits import Limits, allow_files
resource.setrlimit(resource.RLIMIT_NOFILE, (100, int({hard})))
allow_files(Limits(connections=200))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def allowed(hard: int) -> subprocess.CompletedProcess[str]:
    """What a process that may open so many files, and now 100, makes of a limit of 200 connections."""
    return subprocess.run([sys.executable, "-c", ALLOW.format(hard=hard)], capture_output=True, text=True)


def test_the_usual_limits_fit_into_the_usual_number_of_open_files():
    assert Limits().files <= 1024


def test_beside_vllm_each_request_has_a_second_connection(monkeypatch: pytest.MonkeyPatch):
    alone = read_limits()
    monkeypatch.setenv("FT_ASSETS_VLLM_URL", "http://127.0.0.1:8000")
    assert read_limits().files == alone.files + alone.connections


def test_a_server_lets_itself_open_the_files_that_it_needs():
    assert allowed(hard=1_000).stdout == f"{Limits(connections=200).files}\n"


def test_more_connections_than_the_system_allows_files_are_refused():
    assert "FT_ASSETS_MAX_CONNECTIONS=200" in (told := allowed(hard=300).stderr)
    assert "and the system allows 300" in told


@pytest.mark.slow
def test_a_full_queue_a_long_body_and_a_long_prompt_are_refused_at_once(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FT_ASSETS_MAX_WAITING", "2")
    monkeypatch.setenv("FT_ASSETS_MAX_BODY_BYTES", "2000")
    monkeypatch.setenv("FT_ASSETS_MAX_TOKENS", "600")
    with Server(installation.home, installation.base) as server:
        url = f"{server.url}/v1/chat/completions"

        def ask(content: str) -> httpx.Response:
            turns = [{"role": "user", "content": content}]
            return httpx.post(url, json={"model": "base", "messages": turns, "max_tokens": 500}, timeout=60)

        with ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(ask, [PROMPT[0]["content"]] * 24))
        busy = [answer for answer in answers if answer.status_code == 429]
        assert {answer.status_code for answer in answers} == {200, 429}
        assert {answer.headers["retry-after"] for answer in busy} == {"1"}
        served = [answer.elapsed for answer in answers if answer.status_code == 200]
        assert min(answer.elapsed for answer in busy) < min(served)
        assert ask("x" * 3000).status_code == 413
        assert ask("x" * 1000).json()["error"]["code"] == "context_length_exceeded"
