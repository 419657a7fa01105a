"""More connections than there are places, and clients that do not read, with real sockets."""

import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from ft_assets.serving import connections
from ft_assets.serving.connections import CROWDED, BoundedProtocol
from ft_assets_tests.serving.conftest import until
from ft_assets_tests.serving.inprocess import served

MOST, SPARE = 4, 2
BIG = 20_000_000
"""Bytes: more than the system keeps for who does not read."""
GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"


class Work:
    """Answers that end when the test says so, and one that never ends."""

    def __init__(self) -> None:
        self.begun = 0
        self.done = threading.Event()
        self.left = threading.Event()

    async def quick(self, _: Request) -> Response:
        return JSONResponse("done")

    async def big(self, _: Request) -> Response:
        return Response(b"x" * BIG)

    async def body(self, request: Request) -> Response:
        return JSONResponse(len(await request.body()))

    async def long(self, _: Request) -> Response:
        self.begun += 1
        while not self.done.is_set():
            await anyio.sleep(0.01)
        return JSONResponse("done")

    async def still(self, _: Request) -> Response:
        self.done.wait(10)  # the whole server stands still
        return JSONResponse("done")

    async def endless(self, _: Request) -> Response:
        async def text() -> AsyncIterator[bytes]:
            try:
                while True:
                    await anyio.sleep(0)
                    yield b"x" * 65_536
            finally:
                self.left.set()

        return StreamingResponse(text())


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def port(work: Work, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(BoundedProtocol, "most", MOST)
    monkeypatch.setattr(BoundedProtocol, "_told_at", float("-inf"))
    monkeypatch.setattr(connections, "SPARE_CONNECTIONS", SPARE)
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.3)
    answers = [work.quick, work.big, work.long, work.still, work.endless]
    routes = [Route(f"/{answer.__name__}", answer) for answer in answers]
    posted = Route("/body", work.body, methods=["POST"])
    with served(Starlette(routes=[*routes, Route("/readyz", work.long), posted])) as port:
        try:
            yield port
        finally:
            work.done.set()


@contextmanager
def opened(port: int, *sent: bytes) -> Iterator[list[socket.socket]]:
    """Connections, each with what is sent on it, the one after the other."""
    with ExitStack() as stack:
        lines = []
        for piece in sent:
            lines.append(stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)))
            lines[-1].sendall(piece)
        yield lines


def answer(line: socket.socket) -> bytes:
    """The body of one short answer."""
    got = b""
    while not got.partition(b"\r\n\r\n")[2]:
        more = line.recv(65_536)
        assert more, got
        got += more
    return got.partition(b"\r\n\r\n")[2]


def is_closed(line: socket.socket) -> bool:
    line.settimeout(0.05)
    try:
        return line.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionResetError:
        return True
    finally:
        line.settimeout(10)


def crowded(outcome: str) -> float:
    return CROWDED.labels(outcome)._value.get()


def test_a_newcomer_takes_the_place_of_who_has_kept_the_server_waiting_longest(
    port: int, work: Work, caplog: pytest.LogCaptureFixture
):
    before = crowded("closed")
    with opened(port, GET % b"long", *[b""] * (MOST + SPARE - 1)) as lines:
        for line in lines[1:]:
            line.sendall(GET % b"quick")
            assert answer(line) == b'"done"'
        work.done.set()
        assert answer(lines[0]) == b'"done"'  # so that it was the server's turn until now
        assert httpx.get(f"http://127.0.0.1:{port}/quick").json() == "done"
        assert [is_closed(line) for line in lines] == [False, True, False, False, False, False]
        lines[0].sendall(GET % b"quick")
        assert answer(lines[0]) == b'"done"'
    assert crowded("closed") == before + 1
    assert caplog.text.count("All 4 places for connections are taken") == 1


def test_an_answer_that_is_still_on_its_way_is_not_broken_off(port: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 60.0)
    before, last = crowded("closed"), b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with opened(port, last, *[b""] * (MOST + SPARE)) as (slow, *idle):
        until(lambda: crowded("closed") == before + 1)
        assert is_closed(idle[0])
        assert sum(len(piece) for piece in iter(lambda: slow.recv(1 << 20), b"")) > BIG


def test_many_newcomers_in_one_moment_take_a_place_each(port: int, work: Work):
    with opened(port, GET % b"still", *[b""] * 20) as lines:
        work.done.set()
        assert answer(lines[0]) == b'"done"'
        assert httpx.get(f"http://127.0.0.1:{port}/quick").json() == "done"
        assert sum(not is_closed(line) for line in lines) == MOST + SPARE - 1


def test_who_does_not_send_the_rest_of_a_request_gives_way_too(port: int):
    slow = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"
    with opened(port, *[slow] * (MOST + SPARE)) as lines:
        assert httpx.get(f"http://127.0.0.1:{port}/quick").json() == "done"
        assert [is_closed(line) for line in lines] == [True, False, False, False, False, False]
        lines[1].sendall(b"x" * 8)
        assert answer(lines[1]) == b"9"


def test_what_is_being_answered_stays_and_others_get_503_but_not_a_probe(port: int, work: Work):
    before = crowded("refused")
    with opened(port, *[GET % b"long"] * MOST) as lines:
        until(lambda: work.begun == MOST)
        for _ in range(2 * SPARE):
            full = httpx.post(f"http://127.0.0.1:{port}/body", content=b"x" * 100_000)
            assert (full.status_code, full.json()["error"]["code"]) == (503, "no_place")
            assert (full.headers["retry-after"], full.headers["connection"]) == ("1", "close")
        with opened(port, GET % b"readyz", b"") as (probe, _):
            until(lambda: work.begun == MOST + 1)
            work.done.set()
            assert answer(probe) == b'"done"'
        assert {answer(line) for line in lines} == {b'"done"'}
    assert crowded("refused") == before + 2 * SPARE


def test_a_newcomer_is_closed_where_even_the_spare_places_are_being_answered(port: int, work: Work):
    with opened(port, *[GET % b"long"] * MOST, *[GET % b"readyz"] * SPARE) as lines:
        until(lambda: work.begun == MOST + SPARE)
        with opened(port, b"") as (newcomer,):
            assert newcomer.recv(65_536) == b""
        assert not any(is_closed(line) for line in lines)


def test_a_refused_client_that_asks_on_finds_a_place_again(port: int, work: Work):
    with opened(port, *[GET % b"long"] * MOST) as lines:
        until(lambda: work.begun == MOST)
        assert httpx.get(f"http://127.0.0.1:{port}/quick").status_code == 503
        work.done.set()
        assert {answer(line) for line in lines} == {b'"done"'}
        lines[0].sendall(GET % b"quick")
        assert answer(lines[0]) == b'"done"'
        assert httpx.get(f"http://127.0.0.1:{port}/quick").json() == "done"


def test_a_stream_that_nobody_reads_is_given_up(port: int, work: Work):
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.connect(("127.0.0.1", port))
        line.sendall(GET % b"endless")
        assert work.left.wait(10)
