"""What strangers send to the running server: refused clearly or cut off, and others are answered meanwhile."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import psutil
import pytest

from ft_assets.serving.launch import KEEP_ALIVE_SECONDS
from ft_assets.serving.limits import SPARE_CONNECTIONS, Limits
from ft_assets_tests.serving.conftest import PROMPT, Api, until

CHAT = {"model": "base", "messages": PROMPT, "max_tokens": 1}
TURN = b'{"model":"base","max_tokens":1,"messages":[{"role":"user","content":%s}]}'
TOOLS = TURN % b'"x"},{"role":"assistant","tool_calls":[{"a":%s}]'
CALL = b'"x"},{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"%s"}}]'
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODIES = {
    "empty": (b"", 400),
    "binary": (bytes(range(256)), 400),
    "nul": (b"\0" * 1_000, 400),
    "latin-1": (TURN % b'"\xe9"', 400),
    "utf-16": (json.dumps(CHAT).encode("utf-16"), 400),
    "byte order mark": (b"\xef\xbb\xbf" + json.dumps(CHAT).encode(), 400),
    "compressed": (b"\x1f\x8b\x08\x00" + bytes(100), 400),
    "half a surrogate pair": (TURN % b'"\\udc00"', 400),
    "nested arrays": (b"[" * 1_000_000, 400),
    "nested objects": (b'{"a":' * 150_000, 400),
    "nested content": (TURN % (b"[" * 100_000 + b"]" * 100_000), 400),
    "nested calls": (TOOLS % (b'{"a":' * 10_000 + b"1" + b"}" * 10_000), 400),
    "nested arguments": (TURN % CALL % (b"[" * 600 + b"]" * 600), 400),
    "arguments without end": (TURN % CALL % (b"[" * 3_000), 400),
    "NaN": (TURN.replace(b'"max_tokens":1', b'"temperature":NaN') % b'"x"', 400),
    "NaN in a call": (TOOLS % b"NaN", 400),
    "infinity in a call": (TOOLS % b"1e999", 400),
    "a number of 5000 digits": (TOOLS % (b"9" * 5_000), 400),
    "a number of 400 digits": (TURN.replace(b'"max_tokens":1', b'"seed":1' + b"0" * 400) % b'"x"', 400),
    "a million letters": (TURN % (b'"' + b"x" * 1_000_000 + b'"'), 400),
    "10,000 turns": (json.dumps({**CHAT, "messages": PROMPT * 10_000}).encode(), 400),
    "too long": (TURN % (b'"' + b"x" * (1 << 20) + b'"'), 413),
    "the same name twice": (
        b'{"model":"nobody",' + json.dumps(CHAT).encode()[1:],
        200,
    ),  # the last one counts
    "a temperature next to nothing": (json.dumps({**CHAT, "temperature": 5e-324}).encode(), 200),
    "nul in a text": (TURN % b'"\\u0000"', 200),
}


@contextmanager
def line(api: Api) -> Iterator[socket.socket]:
    host, _, port = api.server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as opened:
        yield opened


def said(opened: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    got = b""
    try:
        while more := opened.recv(65_536):
            got += more
    except ConnectionResetError:
        pass
    return got


def worker(api: Api) -> psutil.Process:
    """The process that answers."""
    assert api.server._process is not None
    family = psutil.Process(api.server._process.pid).children(recursive=True)
    return max(family, key=lambda process: process.memory_info().rss)


def send(api: Api, content: bytes) -> httpx.Response:
    return api.http.post(
        "/v1/chat/completions", content=content, headers={"content-type": "application/json"}
    )


@pytest.mark.parametrize("name", BODIES)
def test_hostile_bodies_are_refused_clearly(api: Api, name: str):
    content, status = BODIES[name]
    answer = send(api, content)
    assert answer.status_code == status
    if status != 200:
        assert answer.json()["error"]["message"]
        assert len(answer.content) < 2_000


@pytest.mark.slow
def test_hostile_bodies_leave_no_memory_behind(api: Api):
    def megabytes_after(rounds: int) -> int:
        for content, _ in [*BODIES.values()] * rounds:
            send(api, content)
        return worker(api).memory_info().rss >> 20

    assert (
        -megabytes_after(2) + megabytes_after(3) < 20
    )  # each round sends 7 MB, and the first ones fill caches


@pytest.mark.parametrize(
    "path", ["/v1/models/%00", "/v1/models/%ff%fe", "/v1/models/" + "x" * 5_000, "/v1//models"]
)
def test_strange_paths_are_not_found(api: Api, path: str):
    assert api.http.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/", "/docs.json", "/schema.json", "/static_content/index.css"])
def test_bentomls_own_pages_are_closed(api: Api, path: str):
    answer = api.http.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00" + bytes(100),  # TLS
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nname with space: y\r\n\r\n",
        POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_not_http_is_refused_and_the_connection_closed(api: Api, sent: bytes):
    with line(api) as opened:
        opened.sendall(sent)
        assert said(opened).startswith(b"HTTP/1.1 400 ")


def test_headers_without_end_are_refused(api: Api):
    with line(api) as opened, pytest.raises(OSError):  # uvicorn would take them for ever
        opened.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nx: ")
        for _ in range(1_000):
            opened.sendall(b"y" * 65_536)


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/readyz", "/docs.json"])
def test_a_body_without_end_ends_soon_whoever_answers(api: Api, path: str):
    with line(api) as opened, pytest.raises(OSError):
        opened.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(500):
            opened.sendall(b"3\r\nabc\r\n")
            time.sleep(0.02)


def test_a_hundred_slow_clients_keep_nobody_waiting(api: Api):
    with ExitStack() as slow:
        for number in range(100):
            opened = slow.enter_context(line(api))
            opened.sendall(POST if number % 2 else POST + b"Content-Length: 500\r\n\r\n{")
        assert api.ask("base").status_code == 200
        assert api.http.get("/readyz").status_code == 200


def test_hundreds_of_idle_clients_lock_nobody_out(api: Api):
    process, most = worker(api), Limits.connections
    files = process.num_fds()
    with ExitStack() as idle:
        for _ in range(most + 100):
            idle.enter_context(line(api))
        answer = httpx.post(
            f"{api.server.url}/v1/chat/completions", json=CHAT, timeout=20
        )  # a new connection each
        assert answer.status_code == 200
        assert httpx.get(f"{api.server.url}/readyz").status_code == 200
        told = httpx.get(f"{api.server.url}/metrics").text
        assert most <= process.num_fds() < files + most + SPARE_CONNECTIONS + 5
    assert 'ft_assets_crowded_connections_total{outcome="closed"}' in told
    assert f"All {most} places for connections are taken" in api.server.log.read_text()
    until(lambda: process.num_fds() < files + 5)


@pytest.mark.slow
def test_clients_that_come_and_go_leave_nothing_behind(api: Api):
    process = worker(api)

    def megabytes_after(clients: int) -> int:
        for _ in range(clients):
            with line(api) as opened:
                opened.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert api.http.get("/readyz").status_code == 200
        return process.memory_info().rss >> 20

    files = process.num_fds()
    assert -megabytes_after(1_000) + megabytes_after(2_000) < 20
    until(lambda: process.num_fds() < files + 5)


def test_requests_sent_at_once_are_answered_in_turn(api: Api):
    one = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with line(api) as opened:
        opened.sendall(one * 50 + one.replace(b"Host: localhost", b"Host: localhost\r\nConnection: close"))
        assert said(opened).count(b"HTTP/1.1 200 OK") == 51


def test_no_websocket_is_opened(api: Api):
    upgrade = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    with line(api) as opened:
        opened.sendall(
            upgrade + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert said(opened).startswith(b"HTTP/1.1 403 ")


def test_idle_connections_are_kept_longer_than_clients_keep_them(api: Api):
    command = worker(api).cmdline()
    assert command[command.index("--timeout-keep-alive") + 1] == str(KEEP_ALIVE_SECONDS)
