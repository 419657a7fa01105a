"""The snapshot that a candidate is made of: its curated batches, merged, with every row on its side."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ft_assets.curation.card import card
from ft_assets.curation.contradictions import find_contradictions
from ft_assets.curation.signatures import sign
from ft_assets.curation.summary import Summary, add
from ft_assets.errors import Refused
from ft_assets.sources.example import EXAMPLE_SCHEMA, fit
from ft_assets.splitting.ledger import assign
from ft_assets.splitting.sides import SIDES
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of

SPLIT_SCHEMA = EXAMPLE_SCHEMA.append(pa.field("cluster", pa.string(), nullable=False))
"""Columns of the train, validation and eval splits."""

DATASET_SCHEMA = SPLIT_SCHEMA.append(pa.field("side", pa.string(), nullable=False))
"""Columns of a dataset."""

CONTRADICTED_SCHEMA = pa.schema([("id", pa.string()), ("batch", pa.string()), ("detail", pa.string())])
"""Rows left out of a dataset: `detail` names the row that stays."""


@dataclass(frozen=True)
class Dataset:
    """What a candidate is made of.

    Attributes:
        rows: `DATASET_SCHEMA`.
        batches: digest of each curated batch that they were read from, by key.
        contradicted: `CONTRADICTED_SCHEMA`: rows left out because a row of another batch answers otherwise.
        summary: what curation counted, added up over the batches.
    """

    rows: pa.Table
    batches: Mapping[str, str]
    contradicted: pa.Table
    summary: Summary

    @property
    def sides(self) -> dict[str, int]:
        """Rows on each side."""
        counts = Counter(self.rows["side"].to_pylist())
        return {side: counts[side] for side in SIDES}

    def write(self, folder: Path) -> None:
        """`rows.parquet`, `contradicted.parquet`, `card.md` and `manifest.json`.

        The manifest holds {batches: {key: digest}, rows, sides: {side: rows}, contradicted}.
        """
        pq.write_table(self.rows, folder / "rows.parquet")
        pq.write_table(self.contradicted, folder / "contradicted.parquet")
        (folder / "card.md").write_text(self.card())
        manifest = {"batches": dict(self.batches), "rows": self.rows.num_rows, "sides": self.sides}
        manifest["contradicted"] = self.contradicted.num_rows
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")

    def card(self) -> str:
        """The dataset card as Markdown."""
        words = (
            f"{self.rows.num_rows} rows of {len(self.batches)} batches are in the dataset; "
            f"{self.contradicted.num_rows} were left out, as a row of another batch answers the same prompt "
            "otherwise (`contradicted.parquet`). Below is what curation counted over the batches."
        )
        return card(self.summary, self.sides).replace("# Dataset card\n", f"# Dataset card\n\n{words}\n", 1)


def make_dataset(home: Home, candidate: Candidate) -> Dataset:
    """Merge a candidate's curated batches and give every row its side.

    Of rows with one id the first stays; contradictions between batches are settled by `curation.contradictions`.

    Raises:
        Refused: the candidate names no batch, or one that was never curated, or holds no rows.
    """
    if not candidate.batches:
        raise Refused(
            f"candidate {candidate.model}/{candidate.key} names no batches; open one that names some"
        )
    tables, digests, summaries = [], {}, []
    for batch in candidate.batches:
        digests[batch], rows, summary = _curated(home, candidate.model, batch)
        tables.append(rows)
        summaries.append(summary)
    merged = _drop_repeated_ids(pa.concat_tables(tables))
    told = find_contradictions(sign(merged, candidate.recipe.curation), candidate.recipe.curation)
    agreed = merged.take([index for index in range(merged.num_rows) if index not in told])
    assigned = assign(home, agreed, candidate.recipe.splitting)
    return Dataset(assigned.cast(DATASET_SCHEMA), digests, _contradicted(merged, told), add(summaries))


def read_dataset(folder: Path) -> pa.Table:
    """Rows of a dataset's artifact, as `DATASET_SCHEMA`."""
    return fit(pq.read_table(folder / "rows.parquet"), DATASET_SCHEMA)


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


def _contradicted(rows: pa.Table, told: Mapping[int, str]) -> pa.Table:
    left_out = rows.take(pa.array(told, pa.int64()))
    columns = [left_out["id"], left_out["batch"], pa.array(told.values(), pa.string())]
    return pa.table(columns, schema=CONTRADICTED_SCHEMA)


def _curated(home: Home, model: str, batch: str) -> tuple[str, pa.Table, Summary]:
    digest, folder = artifact_of(home, model, "curated_batch", batch)
    rows = fit(pq.read_table(folder / "rows.parquet"), EXAMPLE_SCHEMA)
    if rows.num_rows == 0:
        raise Refused(
            f"curated batch {model}/{batch} holds no rows: curation rejected all of them "
            f"(see {folder / 'rejected.parquet'}); open a candidate without this batch"
        )
    column = EXAMPLE_SCHEMA.get_field_index("batch")
    named = pc.fill_null(rows["batch"], batch)
    summary = Summary.model_validate_json((folder / "summary.json").read_text())
    return digest, rows.set_column(column, EXAMPLE_SCHEMA.field(column), named), summary


def _drop_repeated_ids(table: pa.Table) -> pa.Table:
    first: dict[str, int] = {}
    for position, id in enumerate(table["id"].to_pylist()):
        first.setdefault(id, position)
    return table.take(list(first.values()))
