"""Re-checks a dataset's sides against the ledger and against the texts, trusting neither."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from ft_assets.curation.near_duplicates import similar_pairs
from ft_assets.recipe_data import Splitting
from ft_assets.splitting.passages import read_words
from ft_assets.storage.home import Home
from ft_assets.storage.tables import split_ledger


@dataclass(frozen=True)
class Touch:
    """A row that does not lie where it must, and why."""

    id: str
    side: str
    reason: str


def find_touching(home: Home, dataset: pa.Table, settings: Splitting) -> list[Touch]:
    """Rows whose side is not the ledger's, and rows with a near-copy on another side. Empty is good.

    Args:
        dataset: rows of `DATASET_SCHEMA`; quarantined ones may be near anything, as nothing uses them.
    """
    return [
        *_unlike_ledger(home, dataset, settings.ledger),
        *_near_another_side(dataset, settings.cluster_jaccard),
    ]


def _unlike_ledger(home: Home, dataset: pa.Table, ledger: str) -> Iterator[Touch]:
    query = sa.select(split_ledger).where(split_ledger.c.ledger == ledger)
    written = {row["example"]: row["side"] for row in home.database.rows(query)}
    for id, side in zip(dataset["id"].to_pylist(), dataset["side"].to_pylist(), strict=True):
        if written.get(id) != side:
            yield Touch(id, side, f"ledger {ledger!r} says {written.get(id)}")


def _near_another_side(dataset: pa.Table, jaccard: float) -> Iterator[Touch]:
    used = dataset.filter(pc.field("side") != "quarantine")
    ids, sides = used["id"].to_pylist(), used["side"].to_pylist()
    for i, j, similarity in similar_pairs(read_words(used).grams, None, jaccard):
        if sides[i] != sides[j]:
            yield Touch(ids[i], sides[i], f"similarity {similarity:.2f} to {ids[j]} in {sides[j]}")
