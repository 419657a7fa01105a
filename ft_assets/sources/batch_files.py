"""The files of a batch, written as rows come."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq

from ft_assets.sources.example import EXAMPLE_SCHEMA, Example, to_table
from ft_assets.sources.reading import Reading
from ft_assets.sources.rejected import REJECTED_SCHEMA, Rejected, rejected_table
from ft_assets.storage.pseudonyms import Pseudonyms

ROW_GROUP = 4_096
_GROUP_CHARACTERS = 1 << 26  # long rows come in smaller groups

_NOT_CONTENT = {"created_at", "batch"}
_LATER = {"weight"}
"""Fields that came after the first batches: where they say nothing, content is what it was before there were any."""


class BatchFiles:
    """Writes `rows.parquet` (`EXAMPLE_SCHEMA`), `unreadable.parquet` (`REJECTED_SCHEMA`) and `shapes.json`.

    Args:
        pseudonyms: what names of groups and authors are replaced by; None where they are replaced already.

    Attributes:
        examples, rejected: rows written of each.
        content: sha256 over every row's fields but `created_at` and `batch`, in the order given, as 64 hex digits.
    """

    def __init__(self, pseudonyms: Pseudonyms | None) -> None:
        self._pseudonyms = pseudonyms
        self._digest = hashlib.sha256()
        self.examples = self.rejected = 0

    @property
    def content(self) -> str:
        return self._digest.hexdigest()

    def write(self, rows: Iterable[Example | Rejected], folder: Path) -> None:
        """Write all rows, holding one row group of each file in memory."""
        good: list[Example] = []
        bad: list[Rejected] = []
        characters = 0
        with (
            pq.ParquetWriter(folder / "rows.parquet", EXAMPLE_SCHEMA) as good_file,
            pq.ParquetWriter(folder / "unreadable.parquet", REJECTED_SCHEMA) as bad_file,
        ):
            for row in rows:
                if isinstance(row, Rejected):
                    bad.append(self._count_rejected(row))
                else:
                    good.append(self._count_example(row))
                    characters += sum(len(turn.content) for turn in row.messages)
                if len(good) == ROW_GROUP or characters > _GROUP_CHARACTERS:
                    good_file.write_table(to_table(good))
                    good, characters = [], 0
                if len(bad) == ROW_GROUP:
                    bad_file.write_table(rejected_table(bad))
                    bad = []
            good_file.write_table(to_table(good))
            bad_file.write_table(rejected_table(bad))
        shapes = rows.shapes if isinstance(rows, Reading) else {}
        (folder / "shapes.json").write_text(json.dumps(shapes, sort_keys=True))

    def _count_example(self, row: Example) -> Example:
        if self._pseudonyms is not None and (row.group or row.author):
            hashed = {name: self._pseudonyms.of(getattr(row, name)) for name in ("group", "author")}
            row = row.model_copy(update=hashed)
        silent = {name for name in _LATER if getattr(row, name) is None}
        self._digest.update(row.model_dump_json(exclude=_NOT_CONTENT | silent).encode() + b"\n")
        self.examples += 1
        return row

    def _count_rejected(self, row: Rejected) -> Rejected:
        self._digest.update(json.dumps(list(vars(row).values())).encode() + b"\n")
        self.rejected += 1
        return row


def read_shapes(folder: Path) -> dict[str, int]:
    """Rows of a batch by shape, as its files say; empty for rows that had none."""
    return json.loads((folder / "shapes.json").read_text())
