"""Child processes that import torch: how they are started, what they find in their environment, how they ended."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict

from ft_assets.errors import BrokenEnvironment, FtAssetsError, Refused, WrongInput

CHILD_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # what torch asks for to be deterministic on a GPU
    "PYTHONWARNINGS": "ignore",
}


ErrorName = Literal["Refused", "WrongInput", "BrokenEnvironment"]
_ERRORS: dict[ErrorName, type[FtAssetsError]] = {
    "Refused": Refused,
    "WrongInput": WrongInput,
    "BrokenEnvironment": BrokenEnvironment,
}


class Ended(BaseModel):
    """How a child ended: a failure in words and its kind of error, or what a kind of child has to tell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    failure: str | None = None
    error: ErrorName = "BrokenEnvironment"

    @classmethod
    def by(cls, error: Exception) -> Self:
        """The end that an error made. One that is not meant for people is told with its name."""
        if isinstance(error, FtAssetsError):
            name: ErrorName = next(name for name, kind in _ERRORS.items() if isinstance(error, kind))
            return cls(failure=str(error), error=name)
        return cls(failure=f"{type(error).__name__}: {error}")

    def raised(self, words: str) -> FtAssetsError:
        """An error of the same kind, which says this."""
        return _ERRORS[self.error](words)


EndedT = TypeVar("EndedT", bound=Ended)


def read_ended(kind: type[EndedT], file: Path, who: str, log: Path, again: str) -> EndedT:
    """What a child told in its outcome file.

    Args:
        who: what it was doing for whom, as the subject of a sentence.
        again: what running it again does, as the end of one.

    Raises:
        FtAssetsError: it failed; of the same kind as what it failed by.
        BrokenEnvironment: it ended without a word.
    """
    if not file.exists():
        raise BrokenEnvironment(
            f"{who} was killed (out of memory?); its log is {log}; run it again and {again}"
        )
    ended = kind.model_validate_json(file.read_text())
    if ended.failure is not None:
        raise ended.raised(f"{who} failed: {ended.failure}; its log is {log}")
    return ended


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
