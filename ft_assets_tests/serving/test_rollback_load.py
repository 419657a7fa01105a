"""A rollback while users keep asking: how long until the last answer by the adapter that was taken away.

`FT_ASSETS_ROLLBACKS` is how many are made (default 3).
"""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ft_assets_tests.serving.conftest import Api, Installation, until
from ft_assets_tests.serving.factory import promote

USERS = 8
ROLLBACKS = int(os.environ.get("FT_ASSETS_ROLLBACKS", "3"))
FT_ASSETS = str(Path(sys.executable).parent / "ft-assets")


@dataclass
class Traffic:
    """Users who ask again as soon as they are answered. `seen`: (when it was answered, by whom)."""

    api: Api
    model: str
    seen: list[tuple[float, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def user(self, number: int) -> None:
        while not self.over.is_set():
            answer = self.api.ask(self.model, user=f"user-{number}")
            assert answer.status_code == 200
            self.seen.append((time.monotonic(), answer.headers["x-ft-adapter"]))


def command(installation: Installation, *words: str) -> tuple[float, float]:
    """Run `ft-assets` as a person would; when it began, and when it was done."""
    began = time.monotonic()
    environment = {**os.environ, "FT_ASSETS_HOME": installation.home.root}
    subprocess.run([FT_ASSETS, *words], check=True, env=environment, capture_output=True)
    return began, time.monotonic()


@pytest.mark.slow
@pytest.mark.timeout(60 + 20 * ROLLBACKS)
def test_after_a_rollback_the_old_adapter_is_silent_within_two_seconds(api: Api, installation: Installation):
    good, bad = installation.release("undone", 2)
    promote(installation.home, "undone", good)
    until(lambda: (api.model("undone") or {}).get("champion") == good)
    traffic = Traffic(api, "undone")
    late: list[float] = []
    with ThreadPoolExecutor(USERS) as pool:
        users = [pool.submit(traffic.user, number) for number in range(USERS)]
        try:
            for _ in range(ROLLBACKS):
                promote(installation.home, "undone", bad)
                until(lambda: traffic.seen[-1:] and traffic.seen[-1][1] == bad, seconds=10)
                _, done = command(installation, "rollback", "undone", "--reason", "a test")
                settled = time.monotonic() + 2.5
                until(lambda end=settled: any(at > end for at, _ in traffic.seen), seconds=10)
                late.append(max([at - done for at, who in traffic.seen if who == bad], default=0.0))
        finally:
            traffic.over.set()
    assert [user.exception() for user in users] == [None] * USERS
    print(
        f"\nlast answer by the old adapter, seconds after the command: {sorted(round(each, 2) for each in late)}"
    )
    assert max(late) < 2
