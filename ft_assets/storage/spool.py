"""Rows that wait on disk while the database is away. Several processes may share one file."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

AT_ONCE = 200
"""Rows delivered before others get a turn."""


class Spool:
    """An append-only file of JSON lines. What `append` has returned for survives a crash.

    Args:
        file: local; its folder is made when the first row comes.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        try:
            return self._file.stat().st_size == 0
        except FileNotFoundError:
            return True

    def append(self, row: dict[str, Any]) -> None:
        """Keep a row. Raises OSError if that cannot be done, as on a full disk."""
        with self._locked(), self._file.open("ab") as file:
            # A crash may have left half a line, which this one must not become part of.
            file.write(b"\n" * self._torn() + json.dumps(row).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def deliver(self, take: Callable[[dict[str, Any]], None]) -> int:
        """Hand over the oldest rows, and forget each that was taken; returns how many.

        Args:
            take: must stand being given a row again: a crash between taking and forgetting repeats it. What it raises
                ends the delivery, and is raised from here.
        """
        if self.empty:
            return 0
        with self._locked():
            lines = self._file.read_bytes().splitlines(keepends=True)
            taken = 0
            try:
                for line in lines[:AT_ONCE]:
                    if line.endswith(b"\n") and (row := _parsed(line)) is not None:
                        take(row)
                    taken += 1
            finally:
                self._keep(lines[taken:])
        return taken

    def _keep(self, lines: list[bytes]) -> None:
        draft = self._file.with_suffix(".draft")
        with draft.open("wb") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._file)

    def _torn(self) -> int:
        if self.empty:
            return 0
        with self._file.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return int(file.read(1) != b"\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A row, or None for what a crash left of one: nobody was told that it is kept."""
    try:
        return json.loads(line)
    except ValueError:
        return None
