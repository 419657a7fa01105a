"""From a source named in a recipe to its examples."""

from collections import Counter
from datetime import UTC, datetime

from ft_assets.recipe_data import DocstringSource, FileSource, HuggingFaceSource, Source, SqlSource
from ft_assets.sources.batches import Origin
from ft_assets.sources.docstrings import docstrings_stamp, read_docstrings
from ft_assets.sources.files import read_file
from ft_assets.sources.huggingface import dataset_name, dataset_stamp, read_huggingface
from ft_assets.sources.reading import Place, Reading, fields_read, read_rows
from ft_assets.sources.sql import query_name, query_stamp, read_sql
from ft_assets.sources.stored_file import UNKNOWN_TIME, StoredFile


def read_source(source: Source) -> Reading:
    """Examples and rejected rows of a source, in an order that does not change from one reading to the next.

    Raises (here or while it is read):
        WrongInput: the source as a whole cannot be read as what it says it is.
        BrokenEnvironment: what it needs cannot be reached.
    """
    match source:
        case DocstringSource():
            return Reading(iter(read_docstrings(source.packages, source.license, source.max_rows)), Counter())
        case FileSource():
            file = StoredFile(source.path)
            rows = read_file(file, source.type, fields_read(source))
            return read_rows(rows, source, Place(file.name, file.modified))
        case HuggingFaceSource():
            rows = read_huggingface(source, fields_read(source))
            return read_rows(rows, source, Place(dataset_name(source), UNKNOWN_TIME))
        case SqlSource():
            rows = read_sql(source, fields_read(source))
            return read_rows(rows, source, Place(query_name(source), UNKNOWN_TIME))


def source_stamp(source: Source) -> str | None:
    """A short text that changes when the source's files do; None where that cannot be told cheaply."""
    match source:
        case DocstringSource():
            return docstrings_stamp(source.packages)
        case FileSource():
            return StoredFile(source.path).stamp()
        case HuggingFaceSource():
            return dataset_stamp(source) or _this_hour()
        case SqlSource():
            return query_stamp(source) or _this_hour()


def source_origin(source: Source) -> Origin:
    """How batches of this source are labelled."""
    return "file" if isinstance(source, FileSource) else "source"


def _this_hour() -> str:
    # A hub and a query are dear to ask: once an hour is often enough.
    return f"{datetime.now(UTC):%Y-%m-%dT%H}"
