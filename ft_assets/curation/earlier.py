"""What a batch is compared with: the curated rows of every batch that was opened before it."""

import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.curation.curate import curate
from ft_assets.recipe import Recipe
from ft_assets.sources.batches import list_batches
from ft_assets.sources.example import EXAMPLE_SCHEMA
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of, find_record


def earlier_rows(home: Home, recipe: Recipe, key: str) -> pa.Table:
    """Curated rows (`EXAMPLE_SCHEMA`) of the batches opened before `key`, oldest first.

    A batch that was opened before but is not curated yet is curated here in memory, from its stored bytes.
    So the result is the same in whatever order the batches' runs finish, and copies between two batches
    that are curated at the same time are found.
    """
    rows = EXAMPLE_SCHEMA.empty_table()
    for batch in list_batches(home, recipe.model):
        if batch["key"] == key:
            break
        rows = pa.concat_tables([rows, _curated(home, recipe, batch["key"], batch["digest"], rows)])
    return rows


def _curated(home: Home, recipe: Recipe, key: str, digest: str, before: pa.Table) -> pa.Table:
    if find_record(home, recipe.model, "curated_batch", key):
        _, folder = artifact_of(home, recipe.model, "curated_batch", key)
        return pq.read_table(folder / "rows.parquet", schema=EXAMPLE_SCHEMA)
    raw = pq.read_table(home.artifacts.path("batches", digest) / "rows.parquet")
    return curate(raw, key, recipe.curation, before).rows
