"""Child processes that import torch: how they are started, and what they find in their environment."""

import os
import subprocess
import sys
from pathlib import Path

CHILD_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # what torch asks for to be deterministic on a GPU
    "PYTHONWARNINGS": "ignore",
}


def child_command(module: str, *arguments: Path) -> list[str]:
    """The command that runs a worker module."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def run_alone(module: str, job: Path, quiet: bool = False) -> None:
    """Run a worker outside Dagster; its lines go to this process's standard output unless it is to be quiet.

    How it ended is in its outcome file, which the caller reads next.
    """
    sink = subprocess.DEVNULL if quiet else None
    subprocess.run(child_command(module, job), env=_environment(), stdout=sink, stderr=sink, check=False)


def run_module(module: str, *arguments: Path) -> None:
    """Run a module that does one thing and says nothing.

    Raises:
        subprocess.CalledProcessError: it failed; `stderr` says why.
    """
    command = child_command(module, *arguments)
    subprocess.run(command, env=_environment(), capture_output=True, text=True, check=True)


def _environment() -> dict[str, str]:
    return {**os.environ, **CHILD_ENVIRONMENT}
