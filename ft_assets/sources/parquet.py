"""Parquet files, one row group after the other."""

from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.errors import WrongInput
from ft_assets.sources.arrow_rows import BATCH, read_batches, wanted_columns
from ft_assets.sources.rejected import Rejected
from ft_assets.sources.row import Row
from ft_assets.sources.stored_file import StoredFile

_BUFFER = 1 << 20
_DAMAGED = (pa.ArrowException, OSError, ValueError)  # the last for names that are not UTF-8


def read_parquet(file: StoredFile, fields: Collection[str]) -> Iterator[Row | Rejected]:
    """One Row or Rejected for every row; a damaged row group is one Rejected, and the next group is read.

    Args:
        fields: names of the columns that somebody reads.

    Raises:
        WrongInput: not a Parquet file, or one that is packed once more.
        BrokenEnvironment: the store that the path names cannot be reached.
    """
    if file.is_packed():
        raise WrongInput(f"{file.path}: Parquet inside a compressed file cannot be read; unpack it")
    with file.packed() as stream:
        try:
            # Page by page, else a whole row group would be in memory.
            parquet = pq.ParquetFile(stream, buffer_size=_BUFFER, pre_buffer=False)
            columns = wanted_columns(parquet.schema_arrow.names, fields)
        except _DAMAGED as error:
            raise WrongInput(
                f"{file.path}: not a Parquet file ({error!s:.200}); name another or correct `type`"
            ) from error
        before = 0
        for group in range(parquet.num_row_groups):
            yield from _read_group(parquet, group, columns, file.name, before)
            before += parquet.metadata.row_group(group).num_rows


def _read_group(
    parquet: pq.ParquetFile, group: int, columns: list[str], name: str, before: int
) -> Iterator[Row | Rejected]:
    line = before
    try:
        batches = parquet.iter_batches(BATCH, row_groups=[group], columns=columns)
        for row in read_batches(batches, name, before):
            yield row
            line += 1
    except _DAMAGED as error:
        last = before + parquet.metadata.row_group(group).num_rows
        detail = f"rows {line + 1} to {last} are damaged ({error!s:.200}); copy the file again"
        yield Rejected(name, line + 1, "damaged_file", detail, "")
