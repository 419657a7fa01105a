"""Rows as a Parquet file that is there whole or not at all."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def write_rows_whole(path: Path, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
    """Replace a file in one go: a reader sees the old rows or the new."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(pa.Table.from_pylist([*rows], schema=schema), draft)
    draft.replace(path)
