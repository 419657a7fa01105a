"""`kill -9` of the demo at its worst moments, then the same command again: it goes on where it was."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ft_assets_tests.demo.test_demo import known_secret

COMMAND = [str(Path(sys.executable).parent / "ft-assets"), "demo", "--tiny"]


def _kill_when_it_says(words: str, environment: dict[str, str]) -> None:
    """Start the demo, wait for a finished step that names `words`, and kill the demo without warning."""
    demo = subprocess.Popen(
        COMMAND, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert demo.stderr is not None
    heard = []
    for line in demo.stderr:
        heard.append(line)
        if words in line:
            demo.send_signal(signal.SIGKILL)
            break
    demo.stderr.close()
    assert demo.wait(timeout=30) == -signal.SIGKILL, "".join(heard)


@pytest.mark.slow
def test_a_demo_killed_twice_ends_like_one_that_was_not(tmp_path: Path) -> None:
    home = {"FT_ASSETS_HOME": str(tmp_path / "home"), **known_secret(tmp_path)}
    environment = {**os.environ, **home, "COLUMNS": "200"}
    _kill_when_it_says("dataset", environment)  # the next step, training, has begun or is about to
    _kill_when_it_says("users", environment)  # in the middle of the canary

    done = subprocess.run([*COMMAND, "--json"], env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert len(summary["candidates"]) == 2
    assert all(candidate["gate"]["receipt"] for candidate in summary["candidates"])
    _nothing_is_there_twice(tmp_path / "home", summary)


def _nothing_is_there_twice(home: Path, summary: dict) -> None:
    with sqlite3.connect(home / "ft_assets.db") as database:
        twice = "SELECT inference_id FROM feedback GROUP BY inference_id, kind HAVING count(*) > 1"
        assert database.execute(twice).fetchall() == []
        (batches,) = database.execute("SELECT count(*) FROM batches WHERE origin = 'source'").fetchone()
        assert batches == 1
        (started,) = database.execute(
            "SELECT count(*) FROM promotion_ledger WHERE action = 'canary'"
        ).fetchone()
    assert started == sum(1 for item in summary["candidates"] if item["rollout"]["state"])
    assert not list((home / "adapters").glob(".*")), "no half-written adapter is left among the whole ones"
