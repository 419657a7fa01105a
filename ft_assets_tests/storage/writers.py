"""Child processes that write until they are killed; run as `python -m ft_assets_tests.storage.writers WHAT ROOT`."""

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import sqlalchemy as sa

from ft_assets.storage.home import Home
from ft_assets.storage.tables import split_ledger


def write_artifacts(home: Home) -> None:
    """Write artifacts of 2 MB in eight files, and say the digest of each once it is committed."""
    for number in count():
        body = f"{os.getpid()} {number}\n".encode() * 20_000
        print(home.artifacts.write("reports", lambda folder, body=body: fill(folder, body)), flush=True)


def fill(folder: Path, body: bytes) -> None:
    """Eight files, two of them in a folder of their own."""
    (folder / "more").mkdir()
    for number in range(8):
        (folder / ("more" if number > 5 else ".") / f"{number}.txt").write_bytes(body)


def write_rows(home: Home) -> None:
    """Commit one row at a time, and say its id after the commit."""
    for number in count():
        name = f"{os.getpid()}-{number}"
        row = {
            "ledger": "l",
            "example": name,
            "cluster": "c",
            "side": "train",
            "assigned_at": datetime.now(UTC),
        }
        with home.database.write() as connection:
            connection.execute(sa.insert(split_ledger).values(row))
        print(name, flush=True)


def open_home(home: Home) -> None:
    """Use everything that is made on first use, and say the key."""
    home.database.row(sa.select(split_ledger))
    print(home.key("test").hex(), flush=True)


ROLES: dict[str, Callable[[Home], None]] = {
    "artifacts": write_artifacts,
    "rows": write_rows,
    "open": open_home,
}

if __name__ == "__main__":
    ROLES[sys.argv[1]](Home(sys.argv[2]))
