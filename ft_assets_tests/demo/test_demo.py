"""The whole loop with a tiny base: a real Dagster instance, a real server, real users over loopback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FT_ASSETS = str(Path(sys.executable).parent / "ft-assets")


def known_secret(folder: Path) -> dict[str, str]:
    """Environment of an installation whose secret, and so its split, is the same each time.

    Of one split in a few dozen a tiny random model learns to say nothing, and its gate rightly fails.
    """
    secret = folder / "secret"
    secret.write_bytes(bytes(range(32)))
    secret.chmod(0o600)
    return {"FT_ASSETS_SECRET_FILE": str(secret)}


def demo(home: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FT_ASSETS_HOME": str(home), **known_secret(home.parent)}
    command = [FT_ASSETS, "demo", "--tiny", "--json", *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)


@pytest.mark.slow
def test_the_loop_goes_round_twice(tmp_path: Path) -> None:
    done = demo(tmp_path / "home")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary == json.loads((tmp_path / "home" / "demo" / "summary.json").read_text())
    first, second = summary["candidates"]
    assert first["scores"]["incumbent"] is None
    assert first["gate"]["verdict"] in {"pass", "fail", "inconclusive"}
    assert second["rows"]["raw"] > first["rows"]["raw"], "the second candidate learns from feedback"
    assert summary["feedback"]["sent"] == summary["feedback"]["stored"] > 0
    assert summary["feedback"]["batches"]
    assert summary["contamination"]["checked"] > 0 == summary["contamination"]["found"]
    assert sum(first["rollout"]["requests"].values()) > 0
    assert set(first["scores"]["candidate"]) >= {"loss", "chrf", "exact", "well_formed"}


@pytest.mark.slow
def test_a_leak_that_a_plain_gate_loves_is_blocked_with_its_rows(tmp_path: Path) -> None:
    done = demo(tmp_path / "home", "--leak")
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout)
    leak = summary["leak"]
    assert leak["plain_gate"]["verdict"] == "pass"
    assert leak["gate"]["verdict"] == "fail"
    assert {match["kind"] for match in leak["offending"]} >= {"exact", "near"}
    assert {match["trained_source"] for match in leak["offending"]} == {"demo:leak"}
    assert "RELEASED" not in leak["release_by_hand"]
    assert summary["candidates"][0]["rollout"]["state"] is None


def test_a_home_with_another_base_is_left_alone(tmp_path: Path) -> None:
    mark = tmp_path / "home" / "demo" / "base"
    mark.parent.mkdir(parents=True)
    mark.write_text("another-base")
    done = demo(tmp_path / "home")
    assert done.returncode == 2
    assert "another-base" in done.stderr and "FT_ASSETS_HOME" in done.stderr
