"""One real server for all tests of this folder: a tiny base, three adapters, models that tests give meaning to."""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from ft_assets.recipe import Base
from ft_assets.serving.engine import EngineThread
from ft_assets.serving.keys import add_key
from ft_assets.serving.launch import Server
from ft_assets.storage.home import Home
from ft_assets.storage.tables import interactions
from ft_assets_tests.serving.factory import make_adapter, release_adapter

# Torch in two processes on two cores: threads that wait for each other by spinning cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

TINY = {"name": "tiny-random", "hub": None, "package": None, "tiny": True}
PROMPT = [{"role": "user", "content": "Say what `json.dumps` does."}]


@dataclass(frozen=True)
class Installation:
    """A home with a base and three adapters that are released for no model yet."""

    home: Home
    base: str
    folder: Path
    adapters: tuple[str, ...]

    def release(self, model: str, count: int) -> list[str]:
        """Addresses of the first `count` adapters, released for a model of the test's own."""
        return [release_adapter(self.home, model, adapter, self.base) for adapter in self.adapters[:count]]


@dataclass(frozen=True)
class Api:
    """A client of the running server."""

    server: Server
    http: httpx.Client

    def ask(self, model: str, user: str | None = None, **more: object) -> httpx.Response:
        """One short chat completion."""
        body = {"model": model, "messages": PROMPT, "max_tokens": 6, "user": user, **more}
        return self.http.post("/v1/chat/completions", json=body)

    def model(self, name: str) -> dict | None:
        """An entry of `/v1/models`."""
        listed = self.http.get("/v1/models").json()["data"]
        return next((entry for entry in listed if entry["id"] == name), None)


@dataclass(frozen=True)
class Guarded:
    """A server that wants keys. `keys`: (id, key) by name."""

    home: Home
    server: Server
    keys: dict[str, tuple[str, str]]

    def post(self, who: str, path: str, body: dict, **headers: str) -> httpx.Response:
        """Send JSON with somebody's key."""
        named = {"authorization": f"Bearer {self.keys[who][1]}", **headers}
        return httpx.post(f"{self.server.url}{path}", json=body, headers=named, timeout=60)

    def ask(self, who: str, **headers: str) -> httpx.Response:
        """One short chat completion of the base."""
        body = {"model": "base", "messages": PROMPT, "max_tokens": 3}
        return self.post(who, "/v1/chat/completions", body, **headers)

    def thumb(self, who: str, inference_id: str, key: str) -> httpx.Response:
        """A thumb up for an answer."""
        about = {"inference_id": inference_id, "idempotency_key": key}
        return self.post(who, "/v1/feedback", {**about, "kind": "thumb", "value": True})


def until(holds: Callable[[], object], seconds: float = 5.0) -> float:
    """Poll until something holds; returns the seconds it took, fails after `seconds`."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - began


async def hold(thread: EngineThread) -> Callable[[], Awaitable[None]]:
    """Keep an engine's thread waiting, so that nothing leaves its queue, until what is returned is called."""
    at_work, go_on = threading.Event(), threading.Event()
    held = asyncio.create_task(thread.call(lambda _: (at_work.set(), go_on.wait(30))))
    await asyncio.to_thread(at_work.wait)

    async def release() -> None:
        go_on.set()
        await held

    return release


def recorded(home: Home, inference_id: str) -> dict:
    """The row of an answer, which arrives a moment after the answer."""
    query = sa.select(interactions).where(interactions.c.inference_id == inference_id)
    until(lambda: home.database.row(query))
    row = home.database.row(query)
    assert row is not None
    return row


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    from ft_assets.bases.base_models import prepare_base

    home = Home(tmp_path_factory.mktemp("serving") / "home")
    digest, folder = prepare_base(home, Base.model_validate(TINY))
    return Installation(home, digest, folder, tuple(make_adapter(home, folder, seed) for seed in (1, 2, 3)))


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A server of its own home, with keys."""
    from ft_assets.bases.base_models import prepare_base

    home = Home(tmp_path_factory.mktemp("guarded") / "home")
    digest, _ = prepare_base(home, Base.model_validate(TINY))
    wanted = {
        "ann": ["infer", "feedback"],
        "bob": ["infer", "feedback"],
        "reader": ["infer"],
        "root": ["admin"],
    }
    keys = {name: add_key(home, name, scopes) for name, scopes in wanted.items()}
    keys["slow"] = add_key(home, "slow", ["infer"], per_minute=2)
    with Server(home, digest) as server:
        yield Guarded(home, server, keys)


@pytest.fixture(scope="session")
def api(installation: Installation) -> Iterator[Api]:
    with (
        Server(installation.home, installation.base) as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        yield Api(server, http)
