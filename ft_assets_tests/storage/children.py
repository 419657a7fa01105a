"""Starting the writers, and killing them."""

import subprocess
import sys
from pathlib import Path

_REPOSITORY = Path(__file__).parents[2]


def start(role: str, root: str) -> subprocess.Popen[str]:
    """A child process of this role on this home; its lines are on `stdout`."""
    command = [sys.executable, "-m", "ft_assets_tests.storage.writers", role, root]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=_REPOSITORY
    )


def kill_after(child: subprocess.Popen[str], lines: int) -> list[str]:
    """Wait for that many acknowledgements, kill -9, and return every acknowledgement that came out whole."""
    assert child.stdout and child.stderr
    heard = [child.stdout.readline() for _ in range(lines)]
    child.kill()
    rest = child.stdout.read()  # not `communicate`, which leaves out what `readline` has read ahead
    assert all(heard), child.stderr.read()
    child.wait()
    return [line.strip() for line in [*heard, *rest.splitlines(keepends=True)] if line.endswith("\n")]
