"""The split ledger: every row gets a side once, for ever, for all models that name the same ledger.

- A cluster of copies that touches no earlier row is dealt a side as a whole.
  `strategy: hash`: a keyed hash of the id of its earliest member decides, by the shares of the recipe.
  `strategy: time`: the latest clusters of each arrival are eval, those before them validation, the rest
  train, as many as bring the ledger's totals nearest to the shares. So new data keeps reaching training,
  and within an arrival nothing in train is newer than what is in eval; rows of a later arrival may be newer
  than the eval rows of an earlier one, which stay eval.
- A row that is a copy of rows on one side inherits that side, whatever its own date or hash.
- A row linked to rows on two sides, directly or by a chain of copies among the new rows, is quarantined, as
  is every new row of that chain. So is a row whose only copies are quarantined. Quarantined rows are never
  trained on and never judged with.

A change of shares, strategy or `cluster_jaccard` in a recipe holds for clusters not yet dealt.
"""

from collections import Counter

import pyarrow as pa

from ft_assets.recipe_data import Splitting
from ft_assets.splitting.clusters import Cluster, find_clusters
from ft_assets.splitting.pages import Known, Place, append, read_ledger
from ft_assets.splitting.passages import Passages, concat, read_passages
from ft_assets.splitting.sides import deal
from ft_assets.storage.home import Home


def assign(home: Home, table: pa.Table, settings: Splitting) -> pa.Table:
    """The table with two more columns: `cluster` (an example id) and `side`.

    Rows that the ledger knows keep what they were given; the others are assigned and written down before
    this returns. Safe against any number of processes that assign to the same ledger at once.

    Args:
        table: at least the columns of `EXAMPLE_SCHEMA`.

    Raises:
        Refused: the ledger has lost rows that it assigned.
    """
    passages = _once(read_passages(table))
    key = home.key("split-ledger")
    while True:  # each turn round means that another process got its rows in first
        known = read_ledger(home, settings.ledger)
        new = passages.take([i for i, id in enumerate(passages.ids) if id not in known.places])
        places = _decide(new, known, settings, key)
        if not len(new) or append(home, settings.ledger, known.version, new, places):
            return _with_places(table, {**known.places, **places})


def plan(table: pa.Table, settings: Splitting, key: bytes) -> pa.Table:
    """The table as `assign` would return it from an empty ledger with this key; nothing is written."""
    empty = Known(0, {}, concat([]))
    return _with_places(table, _decide(_once(read_passages(table)), empty, settings, key))


def _once(passages: Passages) -> Passages:
    first = {id: i for i, id in reversed(list(enumerate(passages.ids)))}
    return passages if len(first) == len(passages) else passages.take(sorted(first.values()))


def _decide(new: Passages, known: Known, settings: Splitting, key: bytes) -> dict[str, Place]:
    named = [known.places[id].cluster for id in known.passages.ids]
    by_group = settings.strategy == "column"
    clusters = find_clusters(new, known.passages, named, settings.cluster_jaccard, by_group)
    fresh = [cluster for cluster in clusters if not cluster.touches]
    sides = deal(fresh, settings, key, _dealt(known))
    return {
        id: place
        for cluster in clusters
        for place in [_join(cluster, known) if cluster.touches else Place(cluster.id, sides[cluster.id])]
        for id in cluster.members
    }


def _join(cluster: Cluster, known: Known) -> Place:
    """The place of new rows that are copies of earlier ones."""
    touched = [known.places[id] for id in cluster.touches]  # from the earliest row to the latest
    if len({place.side for place in touched}) == 1:
        return touched[0]
    quarantined = (place for place in touched if place.side == "quarantine")
    return next(quarantined, Place(cluster.id, "quarantine"))


def _dealt(known: Known) -> Counter[tuple[str, str]]:
    """How many clusters lie on each side, by (slice of the earliest member, side)."""
    slices = dict(zip(known.passages.ids, known.passages.slices, strict=True))
    distinct = {(place.cluster, place.side) for place in known.places.values()}
    return Counter((slices[cluster], side) for cluster, side in distinct if side != "quarantine")


def _with_places(table: pa.Table, places: dict[str, Place]) -> pa.Table:
    found = [places[id] for id in table["id"].to_pylist()]
    table = table.append_column("cluster", pa.array([place.cluster for place in found], pa.string()))
    return table.append_column("side", pa.array([place.side for place in found], pa.string()))
