"""Clients that send slowly or without end, with real sockets: each is ended in time, and nobody else waits for them."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ft_assets.serving import body, connections, intake
from ft_assets.serving.body import read_body
from ft_assets.serving.problems import ApiProblem, answer_problem
from ft_assets.serving.requests import ChatRequest
from ft_assets_tests.serving.inprocess import served

BODY_SECONDS, HEAD_SECONDS, REST_SECONDS = 0.4, 0.3, 0.2
MAX_BYTES = 1_000
CHAT = json.dumps({"model": "base", "messages": [{"role": "user", "content": "hello"}]}).encode()
HEAD = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


async def read(request: Request) -> Response:
    return JSONResponse({"model": (await read_body(request, ChatRequest, MAX_BYTES)).model})


async def work(_: Request) -> Response:
    await asyncio.sleep(2 * HEAD_SECONDS)
    return JSONResponse("done")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    routes = [Route("/read", read, methods=["POST"]), Route("/work", work)]
    app = Starlette(routes=routes, exception_handlers={ApiProblem: answer_problem})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body, "BODY_SECONDS", BODY_SECONDS)
        patch.setattr(connections, "HEAD_SECONDS", HEAD_SECONDS)
        patch.setattr(intake, "REST_SECONDS", REST_SECONDS)
        with served(app) as port:
            yield port


@pytest.fixture
def line(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        yield line


def drip(line: socket.socket, piece: bytes) -> tuple[bytes, float]:
    """Send a piece again and again until the server ends the connection; what it said, and after how many seconds."""
    began, said = time.monotonic(), b""
    line.settimeout(0.02)
    while time.monotonic() - began < 10:
        try:
            line.sendall(piece)
            if not (more := line.recv(65_536)):
                break
            said += more
        except TimeoutError:
            continue
        except OSError:
            break
    return said, time.monotonic() - began


def answer(line: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    said = b""
    while more := line.recv(65_536):
        said += more
    return said


def test_a_body_that_drips_is_given_up_with_408(line: socket.socket, port: int):
    line.sendall(HEAD + b"Content-Length: 900\r\n\r\n")
    quick = httpx.post(
        f"http://127.0.0.1:{port}/read", content=CHAT, headers={"content-type": "application/json"}
    )
    assert quick.json() == {"model": "base"}
    said, seconds = drip(line, b" ")
    assert said.startswith(b"HTTP/1.1 408 ") and b'"code":"too_slow"' in said
    assert b"connection: close" in said
    assert BODY_SECONDS - 0.1 < seconds < 5


def test_a_body_that_never_comes_is_given_up_with_408(line: socket.socket):
    line.sendall(HEAD + b"Content-Length: 900\r\n\r\n{")
    assert answer(line).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"GET", b"GET / HTTP/1.1\r\nHost:"])
def test_a_connection_that_does_not_ask_is_closed(line: socket.socket, sent: bytes):
    began = time.monotonic()
    line.sendall(sent)
    assert answer(line) == b""
    assert time.monotonic() - began < 5


def test_headers_that_drip_are_given_up(line: socket.socket):
    line.sendall(b"GET /work HTTP/1.1\r\nHost: x\r\n")
    said, seconds = drip(line, b"x: y\r\n")
    assert (said, seconds < 5) == (b"", True)


def test_headers_of_a_later_request_have_no_more_time(line: socket.socket):
    line.sendall(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
    assert line.recv(65_536).startswith(b"HTTP/1.1 404 ")
    line.sendall(b"GET /none HTTP/1.1\r\n")
    said, seconds = drip(line, b"x: y\r\n")
    assert (said, seconds < 4) == (b"", True)  # uvicorn alone would let it drip on


@pytest.mark.parametrize("sent", [b"\r\n", b"G"])
def test_what_is_no_request_yet_does_not_keep_an_idle_connection_open(line: socket.socket, sent: bytes):
    line.sendall(b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
    assert line.recv(65_536).startswith(b"HTTP/1.1 404 ")
    line.sendall(sent)
    assert answer(line) == b""


def test_what_follows_a_body_is_no_header(line: socket.socket):
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    line.sendall(head + b"%x\r\n%s\r\n0\r\nContent-Type: application/json\r\n\r\n" % (len(CHAT), CHAT))
    assert line.recv(65_536).startswith(b"HTTP/1.1 415 ")


def test_trailers_without_end_are_refused(line: socket.socket, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(body, "BODY_SECONDS", 60.0)
    line.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n" % (len(CHAT), CHAT))
    said, seconds = drip(line, b"x: y\r\n" * 4_000)
    assert said.startswith(b"HTTP/1.1 431 ") or said == b""  # a reset may overtake the answer
    assert seconds < 5


def test_headers_without_end_are_refused(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 60.0)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(b"GET /work HTTP/1.1\r\nHost: x\r\nx: ")
        said, seconds = drip(line, b"y" * 32_768)
    assert said.startswith(b"HTTP/1.1 431 ") or said == b""  # a reset may overtake the answer
    assert seconds < 5


@pytest.mark.parametrize(
    ("framing", "piece"),
    [
        (b"Content-Length: 99999999999\r\n\r\n", b" " * 500),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1f4\r\n" + b" " * 500 + b"\r\n"),
    ],
)
def test_a_body_without_end_is_refused_and_the_connection_closed(
    line: socket.socket, framing: bytes, piece: bytes
):
    line.sendall(HEAD + framing)
    said, seconds = drip(line, piece)
    assert said.startswith(b"HTTP/1.1 413 ") and b"connection: close" in said
    assert seconds < 5


def test_a_client_that_sends_all_before_it_reads_gets_the_refusal_and_keeps_its_connection(port: int):
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        sent = {"content-type": "application/json"}
        refused = client.post("/read", content=b" " * 4_000_000, headers=sent)
        assert (refused.status_code, "connection" in refused.headers) == (413, False)
        wrong = client.post("/read", content=CHAT, headers={"content-type": "text/plain"})
        assert (wrong.status_code, "connection" in wrong.headers) == (415, False)
        assert client.post("/read", content=CHAT, headers=sent).status_code == 200


def test_an_answer_may_take_longer_than_a_head_and_so_may_the_pause_before_the_next_request(port: int):
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        first = client.get("/work")
        time.sleep(1.5 * HEAD_SECONDS)  # uvicorn keeps an idle connection for 5 s
        second = client.get("/work")
        streams = [
            answer.extensions["network_stream"].get_extra_info("client_addr") for answer in (first, second)
        ]
        assert streams[0] == streams[1]  # one connection


def test_requests_sent_at_once_are_answered_in_turn(line: socket.socket):
    one = HEAD + b"Content-Length: %d\r\n\r\n" % len(CHAT) + CHAT
    line.sendall(
        one * 50 + one.replace(b"/read", b"/none").replace(b"Host: x", b"Host: x\r\nConnection: close")
    )
    said = answer(line)
    assert said.count(b"HTTP/1.1 200 OK") == 50
    assert said.count(b"HTTP/1.1 404 ") == 1
