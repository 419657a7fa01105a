"""The snapshot that a candidate is made of: its curated batches, merged, with every row on its side."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ft_assets.errors import Refused
from ft_assets.sources.example import EXAMPLE_SCHEMA
from ft_assets.splitting.ledger import assign
from ft_assets.splitting.sides import SIDES
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of

SPLIT_SCHEMA = EXAMPLE_SCHEMA.append(pa.field("cluster", pa.string(), nullable=False))
"""Columns of the train, validation and eval splits."""

DATASET_SCHEMA = SPLIT_SCHEMA.append(pa.field("side", pa.string(), nullable=False))
"""Columns of a dataset."""


@dataclass(frozen=True)
class Dataset:
    """Rows of `DATASET_SCHEMA`, and the digest of each curated batch that they were read from."""

    rows: pa.Table
    batches: Mapping[str, str]

    @property
    def sides(self) -> dict[str, int]:
        """Rows on each side."""
        counts = Counter(self.rows["side"].to_pylist())
        return {side: counts[side] for side in SIDES}

    def write(self, folder: Path) -> None:
        """`rows.parquet`, and `manifest.json` {batches: {key: digest}, rows, sides: {side: rows}}."""
        pq.write_table(self.rows, folder / "rows.parquet")
        manifest = {"batches": dict(self.batches), "rows": self.rows.num_rows, "sides": self.sides}
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def make_dataset(home: Home, candidate: Candidate) -> Dataset:
    """Merge a candidate's curated batches and give every row its side. Of rows with one id the first stays.

    Raises:
        Refused: the candidate names no batch, or one that was never curated, or holds no rows.
    """
    if not candidate.batches:
        raise Refused(
            f"candidate {candidate.model}/{candidate.key} names no batches; open one that names some"
        )
    tables, digests = [], {}
    for batch in candidate.batches:
        digests[batch], rows = _curated_rows(home, candidate.model, batch)
        tables.append(rows)
    merged = _drop_repeated_ids(pa.concat_tables(tables))
    assigned = assign(home, merged, candidate.recipe.splitting)
    return Dataset(assigned.cast(DATASET_SCHEMA), digests)


def read_dataset(folder: Path) -> pa.Table:
    """Rows of a dataset's artifact, as `DATASET_SCHEMA`."""
    return pq.read_table(folder / "rows.parquet").cast(DATASET_SCHEMA)


def take_side(dataset: pa.Table, side: str) -> pa.Table:
    """The rows of one side, as `SPLIT_SCHEMA`.

    Raises:
        Refused: a model cannot be trained, or cannot be judged, as the side is empty. Validation may be.
    """
    rows = dataset.filter(pc.field("side") == side).select(SPLIT_SCHEMA.names).cast(SPLIT_SCHEMA)
    if rows.num_rows == 0 and side != "validation":
        counts = Counter(dataset["side"].to_pylist())
        raise Refused(
            f"no row is on the {side} side: {dataset.num_rows} rows in {len(set(dataset['cluster'].to_pylist()))} "
            f"clusters of copies were dealt as {dict(counts)}. Sides are permanent, so add data that is not a copy "
            f"of these rows; or give `splitting.ledger` a new name and `splitting.{side}` a larger share"
        )
    return rows


def _curated_rows(home: Home, model: str, batch: str) -> tuple[str, pa.Table]:
    digest, folder = artifact_of(home, model, "curated_batch", batch)
    rows = pq.read_table(folder / "rows.parquet").select(EXAMPLE_SCHEMA.names).cast(EXAMPLE_SCHEMA)
    if rows.num_rows == 0:
        raise Refused(
            f"curated batch {model}/{batch} holds no rows: curation rejected all of them "
            f"(see {folder / 'rejected.parquet'}); open a candidate without this batch"
        )
    column = EXAMPLE_SCHEMA.get_field_index("batch")
    named = pc.fill_null(rows["batch"], batch)
    return digest, rows.set_column(column, EXAMPLE_SCHEMA.field(column), named)


def _drop_repeated_ids(table: pa.Table) -> pa.Table:
    first: dict[str, int] = {}
    for position, id in enumerate(table["id"].to_pylist()):
        first.setdefault(id, position)
    return table.take(list(first.values()))
