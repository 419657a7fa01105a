"""The rows that a DuckDB query gives."""

import hashlib
import tempfile
from collections.abc import Collection, Iterator
from typing import Any

import duckdb

from ft_assets.errors import WrongInput
from ft_assets.recipe_data import SqlSource
from ft_assets.sources.arrow_rows import BATCH, read_batches, wanted_columns
from ft_assets.sources.rejected import Rejected
from ft_assets.sources.row import Row
from ft_assets.sources.stored_file import StoredFile


def read_sql(source: SqlSource, fields: Collection[str]) -> Iterator[Row | Rejected]:
    """One Row or Rejected for every row, as the query streams them.

    Args:
        fields: names of the columns that somebody reads.

    Raises:
        WrongInput: the query is not one SELECT, or fails.
    """
    try:
        with _connect(source.database) as connection:
            statements = connection.extract_statements(source.query)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise WrongInput(f"{query_name(source)}: `query` must be one SELECT: {source.query:.200}")
            reader = connection.sql(statements[0]).to_arrow_reader(BATCH)
            assert reader is not None  # a SELECT always has a result
            columns = wanted_columns(reader.schema.names, fields)
            yield from read_batches((batch.select(columns) for batch in reader), query_name(source))
    except (duckdb.Error, OSError) as error:  # Arrow raises OSError for what a query meets on its way
        raise WrongInput(f"{query_name(source)}: {error}; in the query {source.query:.200}") from error


def query_name(source: SqlSource) -> str:
    """`sql-` and the start of the query's hash: how rows of this query are marked."""
    return f"sql-{hashlib.sha256(source.query.encode()).hexdigest()[:8]}"


def query_stamp(source: SqlSource) -> str | None:
    """Changes when the database file does; None where the query reads other files."""
    return StoredFile(source.database).stamp() if source.database else None


def _connect(database: str | None) -> duckdb.DuckDBPyConnection:
    # Sorting goes to disk beyond this, whatever else the machine does.
    config: dict[str, Any] = {"memory_limit": "1GB", "temp_directory": tempfile.gettempdir()}
    return duckdb.connect(database or ":memory:", read_only=database is not None, config=config)
