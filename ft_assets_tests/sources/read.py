"""Reading a file in a test: examples and rejected rows apart."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ft_assets.recipe_data import FileSource
from ft_assets.sources.example import Example
from ft_assets.sources.readers import read_source
from ft_assets.sources.rejected import Rejected

TURNS = [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello there."}]


def row(**fields: Any) -> str:
    """A good line, with more fields."""
    return json.dumps({"messages": TURNS, **fields})


def lines(count: int) -> bytes:
    """That many good lines that differ, without a line end after the last."""
    return "\n".join(row(id=number) for number in range(count)).encode()


def read(path: Path | str, **settings: Any) -> tuple[list[Example], list[Rejected]]:
    """Examples and rejected rows of a file."""
    source = FileSource.model_validate({"kind": "file", "path": str(path), "license": "MIT", **settings})
    return apart(read_source(source))


def read_bytes(
    folder: Path, name: str, content: bytes, **settings: Any
) -> tuple[list[Example], list[Rejected]]:
    """As `read`, of a file that is written first."""
    (folder / name).write_bytes(content)
    return read(folder / name, **settings)


def apart(rows: Iterable[Example | Rejected]) -> tuple[list[Example], list[Rejected]]:
    """Examples and rejected rows, each in order."""
    found = list(rows)
    return (
        [item for item in found if isinstance(item, Example)],
        [item for item in found if isinstance(item, Rejected)],
    )
