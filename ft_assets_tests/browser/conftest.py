"""A real browser without a window, and the server with keys that it opens."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ft_assets_tests.serving.conftest import guarded

__all__ = ["guarded"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
QUIET = ("--disable-background-networking", "--no-proxy-server")


@pytest.fixture
def dom(tmp_path: Path) -> Callable[[str], str]:
    """Opens an address, and gives the page as the browser has it then."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed: `apt-get install -y chromium`")
    browser = CHROMIUM

    def load(url: str) -> str:
        command = [browser, *FLAGS, *QUIET, f"--user-data-dir={tmp_path}", "--dump-dom", url]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

    return load
