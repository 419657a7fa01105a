"""A Postgres that hangs: it takes connections, acknowledges all that it is sent, and says nothing."""

import asyncio
import time
from collections.abc import Iterator

import pytest

from ft_assets.errors import BrokenEnvironment
from ft_assets.serving import deliverer as deliverer_module
from ft_assets.serving.deliverer import Deliverer
from ft_assets.serving.recording import keep_answer
from ft_assets.storage.database import Database
from ft_assets.storage.home import Home
from ft_assets.storage.postgres import heard_within
from ft_assets_tests.postgres import mute_server
from ft_assets_tests.serving.test_deliverer import interaction, recorded, said, thumb


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Such a server as the database of every home, and tests that wait for it less long."""
    for name, seconds in [("SILENT_SECONDS", 2.0), ("FEEDBACK_SECONDS", 0.7), ("CLOSE_SECONDS", 0.1)]:
        monkeypatch.setattr(deliverer_module, name, seconds)
    with mute_server() as url:
        monkeypatch.setenv("FT_ASSETS_DATABASE_URL", url)
        yield url


def test_a_server_that_says_nothing_is_given_up(mute: str):
    began = time.monotonic()
    with heard_within(0.3), pytest.raises(BrokenEnvironment, match=r"has said nothing for 0\.3 s"):
        Database(mute)
    assert 0.3 <= time.monotonic() - began < 3


def test_feedback_that_waits_for_nothing_is_kept_and_arrives_once(
    home: Home, mute: str, monkeypatch: pytest.MonkeyPatch
):
    deliverer = Deliverer(home)
    ids = [f"chat-{number}" for number in range(20)]

    async def told(about: str) -> tuple[bool | None, float]:
        began = time.monotonic()
        return await deliverer.feedback(thumb(about)), time.monotonic() - began

    async def all_told() -> list[tuple[bool | None, float]]:
        return await asyncio.gather(*map(told, ids))

    for name in ids:
        keep_answer(deliverer.journal, interaction(name))
    first, later = asyncio.run(all_told()), asyncio.run(all_told())
    assert {made for made, _ in first + later} == {None}
    assert max(seconds for _, seconds in first) < 1.7
    assert max(seconds for _, seconds in later) < 0.6
    deliverer._writer.submit(lambda: None).result(10)
    monkeypatch.delenv("FT_ASSETS_DATABASE_URL")  # back again: the one of every home
    deliverer.deliver()
    assert recorded(home) == ids
    assert sorted(said(home)) == sorted(ids)
    deliverer.close()


def test_a_deliverer_that_is_closed_meanwhile_waits_for_nothing(
    home: Home, mute: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(deliverer_module, "SILENT_SECONDS", 0.5)
    deliverer = Deliverer(home)
    keep_answer(deliverer.journal, interaction())
    began = time.monotonic()
    deliverer.close()
    assert time.monotonic() - began < 0.4
    assert "the database is slow or hangs" in caplog.text
    assert deliverer.journal.waiting()
    deliverer._writer.shutdown(wait=True)  # so that it asks nothing of another test's database
