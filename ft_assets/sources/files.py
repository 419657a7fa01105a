"""Files of rows: which container one is, and its reader."""

from collections.abc import Collection, Iterator
from typing import Literal

from ft_assets.errors import WrongInput
from ft_assets.sources.csv_table import DELIMITERS, read_csv
from ft_assets.sources.json_array import read_json_array
from ft_assets.sources.jsonl import EXAMPLE, read_jsonl
from ft_assets.sources.parquet import read_parquet
from ft_assets.sources.rejected import Rejected
from ft_assets.sources.row import Row
from ft_assets.sources.shapes import SHAPE_FIELDS
from ft_assets.sources.stored_file import StoredFile

Container = Literal["jsonl", "json", "parquet", "csv"]

_ENDINGS: dict[str, Container] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
}


def read_file(
    file: StoredFile, type: Literal["auto", "jsonl", "parquet", "csv"], fields: Collection[str]
) -> Iterator[Row | Rejected]:
    """One Row or Rejected for every row of the file, in its order, in bounded memory.

    Args:
        fields: names of the columns that somebody reads.

    Raises:
        WrongInput: the file has no rows, or is not what it says it is.
        BrokenEnvironment: the store that the path names cannot be reached.
    """
    empty = True
    for row in _rows(file, find_container(file) if type == "auto" else type, fields):
        empty = False
        yield row
    if empty:
        raise WrongInput(
            f"{file.path}: the file has no rows; write one JSON object a line, such as {EXAMPLE}"
        )


def find_container(file: StoredFile) -> Container:
    """By the file's name, else by its first bytes: JSON lines where they say nothing."""
    for ending, container in _ENDINGS.items():
        if file.plain_name.endswith(ending):
            return container
    start = file.first_bytes().removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"["):
        return "json"
    return "csv" if _is_header(start.partition(b"\n")[0].decode(errors="replace")) else "jsonl"


def _is_header(line: str) -> bool:
    names = ({name.strip(' "\r') for name in line.split(delimiter)} for delimiter in DELIMITERS)
    return any(found & SHAPE_FIELDS for found in names)


def _rows(file: StoredFile, container: Container, fields: Collection[str]) -> Iterator[Row | Rejected]:
    match container:
        case "jsonl":
            return read_jsonl(file)
        case "json":
            return read_json_array(file)
        case "csv":
            return read_csv(file)
        case "parquet":
            return read_parquet(file, fields)
