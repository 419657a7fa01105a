"""DuckDB over everything: in memory, so it never locks what a service or a run is using."""

import re

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from ft_assets.errors import WrongInput
from ft_assets.storage.home import Home
from ft_assets.storage.tables import metadata


def query(home: Home, statement: str) -> pa.Table:
    """Run one SQL statement over the operational tables and a view of each asset's Parquet files.

    Every operational table is there under its name; `curated_batch`, `eval_split` and so on hold the rows of all
    partitions of all models, with `model` and `partition` columns.

    Raises:
        WrongInput: DuckDB refused the statement; its words are in the message.
    """
    connection = duckdb.connect()
    wanted = set(re.findall(r"[a-z_]+", statement.lower()))
    for name in wanted & set(metadata.tables):
        rows = home.database.rows(sa.select(metadata.tables[name]))
        connection.register(name, pa.Table.from_pylist(rows) if rows else _empty(metadata.tables[name]))
    for asset, parts in _parquet_assets(home).items():
        if asset in wanted:
            connection.execute(f'CREATE VIEW "{asset}" AS {" UNION ALL BY NAME ".join(parts)}')
    try:
        return connection.sql(statement).to_arrow_table()
    except duckdb.Error as error:
        raise WrongInput(f"DuckDB refused the statement: {error}") from error


def _empty(table: sa.Table) -> pa.Table:
    return pa.table({column.name: pa.array([], pa.string()) for column in table.columns})


def _parquet_assets(home: Home) -> dict[str, list[str]]:
    """For each asset, one SELECT for every partition that holds a `rows.parquet`."""
    records = metadata.tables["records"]
    latest = sa.select(sa.func.max(records.c.seq)).group_by(
        records.c.model, records.c.asset, records.c.partition
    )
    parts: dict[str, list[str]] = {}
    for row in home.database.rows(sa.select(records).where(records.c.seq.in_(latest))):
        file = home.artifacts.path(row["kind"], row["digest"]) / "rows.parquet"
        if file.exists():
            parts.setdefault(row["asset"], []).append(
                f"SELECT '{row['model']}' AS model, '{row['partition']}' AS \"partition\", * "
                f"FROM read_parquet('{file}')"
            )
    return parts
