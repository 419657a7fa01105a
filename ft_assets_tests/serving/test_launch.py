"""Starting the service: what is wrong is said before anything runs, and nothing is left behind."""

import hashlib
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.serving.access import KEYS_FILE
from ft_assets.serving.launch import Server
from ft_assets_tests.serving.conftest import Installation, until

SERVE = """
import sys
import signal
from ft_assets.serving.launch import serve
from ft_assets.storage.home import Home
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background ignores it
serve(Home(sys.argv[1]), sys.argv[2], port=0, announce=lambda url: print(url, flush=True))
"""


def launch(installation: Installation) -> tuple[subprocess.Popen[str], str]:
    """A process that serves until it is told to end, and its URL."""
    command = [sys.executable, "-c", SERVE, installation.home.root, installation.base]
    launcher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    url = launcher.stdout.readline().strip()
    assert url, "it did not start"
    return launcher, url


def is_gone(url: str) -> bool:
    try:
        httpx.get(f"{url}/livez", timeout=2)
    except httpx.TransportError:
        return True
    return False


def test_sigterm_lets_a_stream_end_and_gives_the_port_back(installation: Installation):
    launcher, url = launch(installation)
    body = {
        "model": "base",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 200,
        "stream": True,
    }
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=30) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("data: ")
        launcher.send_signal(signal.SIGTERM)
        launcher.send_signal(signal.SIGTERM)  # an orchestrator's nerves
        assert [line for line in lines if line][-1] == "data: [DONE]"
    assert launcher.wait(30) == 0
    # As servers listen: past the lines that this one has closed, which the system remembers for a minute.
    socket.create_server(("127.0.0.1", int(url.rpartition(":")[2]))).close()


def test_keys_are_asked_for_and_ctrl_c_ends_everything(
    installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    keys = tmp_path / "keys"
    keys.write_text(hashlib.sha256(b"the-key").hexdigest())
    monkeypatch.setenv(KEYS_FILE, str(keys))
    launcher, url = launch(installation)
    family = psutil.Process(launcher.pid).children(recursive=True)
    assert httpx.get(f"{url}/v1/models").status_code == 401
    named = {"authorization": "Bearer the-key"}
    assert httpx.get(f"{url}/v1/models", headers=named).status_code == 200
    launcher.send_signal(signal.SIGINT)
    assert launcher.wait(30) == 0
    assert is_gone(url)
    assert not any(process.is_running() for process in family)


def test_a_killed_launcher_leaves_no_server_behind(installation: Installation):
    launcher, url = launch(installation)
    launcher.kill()
    launcher.wait()
    until(lambda: is_gone(url), seconds=15)


def test_a_busy_port_is_named_with_the_option_that_changes_it(installation: Installation):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BrokenEnvironment, match=f"port {port} .*`--port`"):
            Server(installation.home, installation.base, port=port).__enter__()


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("0.0.0.0", 0, KEYS_FILE),
        ("::", 0, KEYS_FILE),
        ("example.org", 0, "not an IP address"),
        ("127.0.0.1", 70_000, "not a TCP port"),
        ("127.0.0.1", -1, "not a TCP port"),
    ],
)
def test_unusable_addresses_are_refused(installation: Installation, host: str, port: int, message: str):
    with pytest.raises(WrongInput, match=message):
        Server(installation.home, installation.base, host, port).__enter__()


def test_limits_that_cannot_be_kept_are_refused(installation: Installation, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FT_ASSETS_MAX_CONNECTIONS", str(2**30))
    with pytest.raises(WrongInput, match="open files"):
        Server(installation.home, installation.base).__enter__()


def test_a_base_that_is_not_there_is_refused(installation: Installation):
    with pytest.raises(BrokenEnvironment, match="bases"):
        Server(installation.home, "0" * 64).__enter__()


def test_a_server_that_cannot_start_ends_and_says_why(installation: Installation):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    empty = installation.home.artifacts.write(
        "bases", lambda folder: (folder / "config.json").write_text("{}")
    )
    with pytest.raises(BrokenEnvironment, match=r"did not start; ValueError: .*tokenizer.*server.log"):
        Server(installation.home, empty).__enter__()
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
