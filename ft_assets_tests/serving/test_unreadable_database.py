"""A worker that starts while its database cannot be read: nobody is answered, least of all without a key."""

import asyncio
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from ft_assets.bases.base_models import prepare_base
from ft_assets.recipe import Base
from ft_assets.serving.app import build_app
from ft_assets.serving.keys import add_key
from ft_assets.serving.launch import Server
from ft_assets.serving.runtime import BASE_ENV, Runtime
from ft_assets.storage.home import Home
from ft_assets_tests.postgres import about_sqlite
from ft_assets_tests.serving.conftest import PROMPT, TINY, until

pytestmark = about_sqlite
QUESTION = {"model": "base", "messages": PROMPT, "max_tokens": 1}


def take_away(home: Home, away: Path) -> None:
    """Move the database with all that belongs to it."""
    away.mkdir()
    for file in home.scratch.glob("ft_assets.db*"):
        file.rename(away / file.name)


def put_noise_in_its_place(home: Home, away: Path) -> None:
    take_away(home, away)
    (home.scratch / "ft_assets.db").write_bytes(secrets.token_bytes(20_000))


def put_back(home: Home, away: Path) -> None:
    for file in home.scratch.glob("ft_assets.db*"):
        file.unlink()
    for file in away.iterdir():
        shutil.move(file, home.scratch)


async def start(home: Home, file_keys: tuple = ()) -> tuple[Runtime, httpx.AsyncClient]:
    """What a worker starts, and a client on loopback."""
    app = build_app(file_keys)
    app.state.runtime = await Runtime.start(Home(home.root))
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:3000")
    return app.state.runtime, client


async def holds(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("fault", [take_away, put_noise_in_its_place])
def test_it_answers_nobody_until_it_knows_who_may_ask(
    fault: Callable[[Home, Path], None], home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    digest, _ = prepare_base(home, Base.model_validate(TINY))
    monkeypatch.setenv(BASE_ENV, digest)
    _, key = add_key(home, "ann", ["infer"])
    home.database.engine.dispose()
    fault(home, tmp_path / "away")
    named = {"authorization": f"Bearer {key}"}

    async def scenario() -> None:
        runtime, client = await start(home)
        async with client:
            assert (runtime.alive, runtime.ready) == (True, False)
            for headers in ({}, named, {"x-ft-adapter": "base"}):
                refused = await client.post("/v1/chat/completions", json=QUESTION, headers=headers)
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                assert refused.json()["error"]["code"] == "database_away"
            for path in ("/v1/models", "/openapi.json", "/live", "/nowhere"):
                assert (await client.get(path)).status_code == 503
            put_back(home, tmp_path / "away")
            await holds(lambda: runtime.ready)
            assert (await client.post("/v1/chat/completions", json=QUESTION)).status_code == 401
            assert (
                await client.post("/v1/chat/completions", json=QUESTION, headers=named)
            ).status_code == 200
        await runtime.stop()

    asyncio.run(scenario())


def test_a_worker_that_is_killed_meanwhile_makes_no_database_of_its_own(
    tmp_path_factory: pytest.TempPathFactory,
):
    folder = tmp_path_factory.mktemp("away")
    home = Home(folder / "home")
    digest, _ = prepare_base(home, Base.model_validate(TINY))
    _, key = add_key(home, "ann", ["infer"])
    home.database.engine.dispose()
    with Server(home, digest) as server, httpx.Client(base_url=server.url, timeout=60) as client:

        def status(**headers: str) -> int | None:
            try:
                return client.get("/v1/models", headers=headers).status_code
            except httpx.TransportError:
                return None

        assert status() == 401
        take_away(home, folder / "kept")
        kill_workers(server)
        until(lambda: status() is not None, seconds=60)
        assert status() == 503
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 503
        assert not [*home.scratch.glob("ft_assets.db*")]
        put_back(home, folder / "kept")
        until(lambda: status() != 503, seconds=20)
        assert (status(), status(authorization=f"Bearer {key}")) == (401, 200)


def kill_workers(server: Server) -> None:
    """`kill -9` what the supervisor runs, and return once it is gone."""
    assert server._process is not None
    workers = psutil.Process(server._process.pid).children(recursive=True)
    for worker in workers:
        worker.kill()
    psutil.wait_procs(workers, timeout=10)
