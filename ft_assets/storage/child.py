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


def child_command(module: str, job: Path) -> list[str]:
    """The command that runs a worker module on its job file."""
    return [sys.executable, "-m", module, str(job)]


def run_alone(module: str, job: Path, quiet: bool = False) -> None:
    """Run a worker outside Dagster; its lines go to this process's standard output unless it is to be quiet.

    How it ended is in its outcome file, which the caller reads next.
    """
    sink = subprocess.DEVNULL if quiet else None
    subprocess.run(
        child_command(module, job),
        env={**os.environ, **CHILD_ENVIRONMENT},
        stdout=sink,
        stderr=sink,
        check=False,
    )
