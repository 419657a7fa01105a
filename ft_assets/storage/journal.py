"""Rows on their way to the database: appended to a file by the process that made them, and delivered from there.

Each process appends to files of its own, so nobody waits for a lock or for another's delivery. A file's name tells
when it was begun and who owns it; an owner holds a lock on a file of its own for as long as it lives, and whoever gets
that lock afterwards takes over what the dead owner left. An owner may also hand a file over: it bears another's name
then.

What `append` has returned for survives the end of the process, however it ends. A power cut, or a crash of the
system, takes with it what was appended since the last `seal` or `sync`, whoever has the file by then.
"""

import errno
import fcntl
import json
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from ft_assets.storage.sync import sync

AT_ONCE = 500
"""Rows read together, so that a long backlog takes no more memory than a short one."""


class Journal:
    """One process's files in a folder that several share.

    `append`, `owner`, `waiting` and `holds` are for any thread, the rest for one at a time.

    Args:
        folder: local; made when the first row comes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._swap = threading.Lock()  # held while a line is written, or one file takes another's place
        self._lock: int | None = None
        self._owner = ""
        self._active: _File | None = None

    def append(self, row: dict[str, Any]) -> None:
        """Keep a row; its times come back as ISO 8601.

        Raises:
            OSError: it cannot be kept, as on a full disk.
            ValueError: no JSON can hold it.
        """
        line = to_json(row) + b"\n"
        with self._swap:
            if self._active is None:
                self._active = self._begin()
            self._active.append(line)

    def owner(self) -> str:
        """The name that this process's files bear. Raises OSError if there can be no files."""
        with self._swap:
            self._live()
        return self._owner

    def hand_over(self, owner: str) -> None:
        """Leave what was appended to another process, which may deliver it at once.

        It costs some tenths of a millisecond, as nothing is synced. The next file is begun here too, or the next
        `append` would have to do that.

        Raises:
            OSError: it cannot be left, or no file begun.
        """
        if self._active is None or self._active.empty:
            return
        path = self._active.path
        with self._swap:  # whoever gets it deletes it in the end: no line may be added any more
            path.rename(path.with_name(path.name.replace(self._owner, owner)))
            self._active.close()
            self._active = None  # also if none can be begun
            self._active = self._begin()

    def seal(self) -> None:
        """End the file that is appended to; what is in it is on the disk on return."""
        if self._active is None or self._active.empty:
            return
        with self._swap:
            sealed, self._active = self._active, None
        try:
            sealed.sync()
            sync(self._folder)
        finally:
            sealed.close()

    def sync(self) -> None:
        """Bring what was appended to the disk. Not beside a `seal` or `hand_over`."""
        if self._active is not None:
            self._active.sync()
            sync(self._folder)

    def waiting(self) -> list[Path]:
        """Files that are this process's and no longer appended to, the oldest first."""
        files = self._files()
        with self._swap:  # after the look, so that a file just begun is known to be the active one
            active = self._active.path if self._active else None
        return [path for path in files if _owner(path) == self._owner and path != active]

    def holds(self, before: float, beside: Path | None = None) -> bool:
        """Whether rows wait in files begun before a time (seconds since 1970), of whichever process.

        Args:
            before: what was appended to a file begun later was appended later.
            beside: a file that does not count.
        """
        return any(_begun(path) / 1e9 < before and path != beside and _holds(path) for path in self._files())

    def adopt(self) -> None:
        """Take over the files of processes that have ended."""
        for path in self._folder.glob("*.lock"):
            if path.stem == self._owner or (lock := _lock(path)) is None:
                continue
            try:
                self._take_over(path.stem)
                path.unlink(missing_ok=True)
            finally:
                os.close(lock)
        # Given to somebody who had ended by then, and whose lock is gone.
        for owner in {_owner(path) for path in self._files()} - {self._owner}:
            if not self._lock_file(owner).exists():
                self._take_over(owner)

    def close(self) -> None:
        """Give up the files; whoever comes next takes over those with rows in them."""
        if self._active is not None:
            if self._active.empty:
                self._active.path.unlink(missing_ok=True)
            self._active.close()
            self._active = None
        if self._lock is not None:
            if not self.waiting():
                self._lock_file(self._owner).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock, self._owner = None, ""

    def _begin(self) -> "_File":
        self._live()
        # After all that are there, also when the clock was set back: feedback must not come before its answer.
        begun = max([time.time_ns(), *(_begun(path) + 1 for path in self._files())])
        return _File(self._folder / f"{begun:020d}-{secrets.token_hex(4)}-{self._owner}.jsonl")

    def _live(self) -> None:
        """Hold a lock that says that this process lives, before any file bears its name."""
        self._folder.mkdir(parents=True, exist_ok=True)
        while self._lock is None:
            owner = secrets.token_hex(8)
            self._lock, self._owner = _lock(self._lock_file(owner), os.O_CREAT), owner

    def _take_over(self, owner: str) -> None:
        left = [path for path in self._files() if _owner(path) == owner]
        with self._swap:
            self._live()
        for path in left:
            with suppress(FileNotFoundError):  # somebody else was faster
                path.rename(path.with_name(path.name.replace(owner, self._owner)))

    def _lock_file(self, owner: str) -> Path:
        return self._folder / f"{owner}.lock"

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))


def batches(file: Path) -> Iterator[list[Any]]:
    """The rows of a file, some hundreds at once, without what a crash left of a line: nobody was told it is kept."""
    with file.open("rb") as lines:
        rows = (row for line in lines if (row := _parsed(line)) is not None)
        while some := list(islice(rows, AT_ONCE)):
            yield some


class _File:
    """A new file that is appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.empty = True
        self._torn = False
        self._number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)

    def append(self, line: bytes) -> None:
        line = b"\n" * self._torn + line  # what a full disk left of a line must not become part of this one
        self.empty = False
        written = os.write(self._number, line)
        self._torn = written < len(line)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def sync(self) -> None:
        os.fsync(self._number)

    def close(self) -> None:
        os.close(self._number)


def _lock(path: Path, flags: int = 0) -> int | None:
    """A lock on a file, or None: somebody has it, or the file is gone."""
    try:
        number = os.open(path, os.O_RDWR | flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(number).st_nlink:  # else somebody took it over between the two calls
            return number
    except BlockingIOError:
        pass
    os.close(number)
    return None


def _begun(file: Path) -> int:
    """Nanoseconds since 1970."""
    return int(file.name.split("-")[0])


def _owner(file: Path) -> str:
    return file.stem.split("-")[-1]


def _holds(file: Path) -> bool:
    """Whether rows are in it."""
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:  # delivered since it was seen, or it bears another name
        return True


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None
