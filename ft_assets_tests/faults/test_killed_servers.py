"""Servers that are killed or told to end while they answer, and two of one home: nobody is misled."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import psutil
import pytest

from ft_assets.errors import BrokenEnvironment
from ft_assets.registry.ledger import latest_entry
from ft_assets.registry.rollback import rollback
from ft_assets.serving.launch import Server
from ft_assets_tests.serving.conftest import PROMPT, Installation, until
from ft_assets_tests.serving.factory import promote

LONG = {"model": "base", "messages": PROMPT, "temperature": 1.0, "stream": True}
STREAMS = 20


@pytest.fixture(scope="module")
def servers(installation: Installation) -> Iterator[tuple[Server, Server]]:
    """Two of one home."""
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        made = [Server(installation.home, installation.base) for _ in range(2)]
        yield tuple(pool.map(stack.enter_context, made))


def ask(server: Server, model: str) -> httpx.Response:
    body = {"model": model, "messages": PROMPT, "max_tokens": 3}
    return httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)


def family(server: Server) -> list[psutil.Process]:
    """The supervisor, and its workers."""
    assert server._process is not None
    supervisor = psutil.Process(server._process.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def test_both_servers_of_a_home_obey_a_rollback(installation: Installation, servers: tuple[Server, Server]):
    home, over = installation.home, threading.Event()
    good, bad = installation.release("twice", 2)
    promote(home, "twice", good)
    promote(home, "twice", bad)
    for server in servers:
        until(lambda server=server: ask(server, "twice").headers.get("x-ft-adapter") == bad)

    heard: dict[Server, list[tuple[float, str]]] = {server: [] for server in servers}

    def user(server: Server) -> None:
        while not over.is_set():
            answer = ask(server, "twice")
            heard[server].append((time.time(), answer.headers["x-ft-adapter"]))

    with ThreadPoolExecutor(2) as pool:
        users = [pool.submit(user, server) for server in servers]
        until(lambda: all(heard.values()))
        rollback(home, "twice", None, "ada", "worse")
        entry = latest_entry(home, "twice")
        assert entry is not None
        over.wait(max(0.0, entry.at.timestamp() + 2 - time.time()))
        over.set()
        for asking in users:
            asking.result()
        for seen in heard.values():
            assert seen[0][1] == bad and seen[-1][1] == good
            # A second is what is promised; a shared machine may be late in noticing that.
            assert max(at for at, who in seen if who == bad) - entry.at.timestamp() < 1.8


def test_a_worker_that_is_killed_breaks_its_streams_and_another_takes_its_place(
    servers: tuple[Server, Server],
):
    server = servers[1]
    heard: list[str] = []
    with httpx.stream(
        "POST", f"{server.url}/v1/chat/completions", json=LONG | {"max_tokens": 3000}
    ) as stream:
        lines = stream.iter_lines()
        heard.append(next(lines))
        for worker in family(server)[1:]:
            worker.kill()
        with pytest.raises(httpx.RemoteProtocolError):
            heard.extend(lines)
    assert "data: [DONE]" not in heard

    def answers() -> bool:
        try:
            return ask(server, "base").status_code == 200
        except httpx.TransportError:
            return False

    until(answers, seconds=60)


def test_a_supervisor_that_is_killed_is_told_of_and_leaves_no_worker_behind(servers: tuple[Server, Server]):
    supervisor, *workers = family(servers[1])
    supervisor.kill()
    with pytest.raises(BrokenEnvironment, match="ended by itself"):
        servers[1].wait()
    assert psutil.wait_procs(workers, timeout=15)[1] == []


def test_a_server_that_is_told_to_end_finishes_every_stream_that_has_begun(servers: tuple[Server, Server]):
    server, begun = servers[0], threading.Semaphore(0)

    def outcome(number: int) -> str:
        heard, body = [], LONG | {"max_tokens": 200, "seed": number}
        try:
            with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=60) as stream:
                for line in stream.iter_lines():
                    heard.append(line)
                    if len(heard) == 1:
                        begun.release()
        except httpx.TransportError:
            return "broken" if heard else "refused"
        return "whole" if "data: [DONE]" in heard else "cut"

    with ThreadPoolExecutor(STREAMS) as pool:
        streams = [pool.submit(outcome, number) for number in range(STREAMS)]
        for _ in range(8):  # more are not answered at once
            assert begun.acquire(timeout=30)
        server.stop()
        outcomes = Counter(stream.result() for stream in streams)
    assert set(outcomes) <= {"whole", "refused"}, outcomes
    assert outcomes["whole"] >= 8
