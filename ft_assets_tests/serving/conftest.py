"""One real server for all tests of this folder: a tiny base, three adapters, models that tests give meaning to."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from ft_assets.recipe import Base
from ft_assets.serving.launch import Server
from ft_assets.storage.home import Home
from ft_assets_tests.serving.factory import make_adapter, release_adapter

# Torch in two processes on two cores: threads that wait for each other by spinning cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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


def until(holds: Callable[[], object], seconds: float = 5.0) -> float:
    """Poll until something holds; returns the seconds it took, fails after `seconds`."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "it did not happen in time"
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    from ft_assets.bases.base_models import prepare_base

    home = Home(tmp_path_factory.mktemp("serving") / "home")
    settings = {"name": "tiny-random", "hub": None, "package": None, "tiny": True}
    digest, folder = prepare_base(home, Base.model_validate(settings))
    return Installation(home, digest, folder, tuple(make_adapter(home, folder, seed) for seed in (1, 2, 3)))


@pytest.fixture(scope="session")
def api(installation: Installation) -> Iterator[Api]:
    with (
        Server(installation.home, installation.base) as server,
        httpx.Client(base_url=server.url, timeout=60) as http,
    ):
        yield Api(server, http)
