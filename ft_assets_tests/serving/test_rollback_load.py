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

from ft_assets.registry.ledger import latest_entry
from ft_assets_tests.serving.conftest import Api, Installation, until
from ft_assets_tests.serving.factory import promote

USERS = 16  # twice as many as are answered together
ROLLBACKS = int(os.environ.get("FT_ASSETS_ROLLBACKS", "3"))
FT_ASSETS = str(Path(sys.executable).parent / "ft-assets")


@dataclass
class Traffic:
    """Users who ask again as soon as they are answered. `seen`: (time of the clock when it was answered, by whom)."""

    api: Api
    model: str
    seen: list[tuple[float, str]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    def user(self, number: int) -> None:
        while not self.over.is_set():
            answer = self.api.ask(self.model, user=f"user-{number}")
            assert answer.status_code == 200
            self.seen.append((time.time(), answer.headers["x-ft-adapter"]))


def roll_back(installation: Installation, model: str) -> tuple[float, float]:
    """Run the command as a person would; when it was begun, and when it took effect in the ledger."""
    began = time.time()
    environment = {**os.environ, "FT_ASSETS_HOME": installation.home.root}
    subprocess.run([FT_ASSETS, "rollback", model], check=True, env=environment, capture_output=True)
    entry = latest_entry(installation.home, model)
    assert entry is not None and entry.action == "rollback"
    return began, entry.at.timestamp()


@pytest.mark.slow
@pytest.mark.timeout(60 + 20 * ROLLBACKS)
def test_after_a_rollback_the_old_adapter_is_silent_within_two_seconds(api: Api, installation: Installation):
    good, bad = installation.release("undone", 2)
    promote(installation.home, "undone", good)
    until(lambda: (api.model("undone") or {}).get("champion") == good)
    traffic = Traffic(api, "undone")
    late: list[tuple[float, float]] = []
    with ThreadPoolExecutor(USERS) as pool:
        users = [pool.submit(traffic.user, number) for number in range(USERS)]
        try:
            for _ in range(ROLLBACKS):
                promote(installation.home, "undone", bad)
                until(lambda: traffic.seen[-1:] and traffic.seen[-1][1] == bad, seconds=10)
                began, decided = roll_back(installation, "undone")
                until(lambda end=decided + 2.5: any(at > end for at, _ in traffic.seen), seconds=10)
                last = max(at for at, who in traffic.seen if who == bad)
                late.append((round(last - decided, 2), round(last - began, 2)))
        finally:
            traffic.over.set()
    assert [user.exception() for user in users] == [None] * USERS
    print(
        f"\nlast answer by the old adapter, seconds after (the ledger, the command's start): {sorted(late)}"
    )
    assert max(after for after, _ in late) < 2
