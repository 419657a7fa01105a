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
from collections.abc import Iterable, Sequence

import pyarrow as pa

from ft_assets.recipe import Splitting
from ft_assets.splitting.clusters import Cluster, find_clusters
from ft_assets.splitting.pages import Known, Place, append, read_ledger
from ft_assets.splitting.passages import Passage, read_passages
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
    passages = {passage.id: passage for passage in read_passages(table)}
    key = home.key("split-ledger")
    while True:  # each turn round means that another process got its rows in first
        known = read_ledger(home, settings.ledger)
        new = [passage for id, passage in passages.items() if id not in known.places]
        places = _decide(new, known, settings, key)
        if not new or append(home, settings.ledger, known.version, new, places):
            return _with_places(table, {**known.places, **places})


def _decide(new: Sequence[Passage], known: Known, settings: Splitting, key: bytes) -> dict[str, Place]:
    clusters = find_clusters(new, known.passages, settings.cluster_jaccard)
    fresh = [cluster for cluster in clusters if not cluster.touches]
    sides = deal(fresh, settings, key, _clusters_by_side(known.places.values()))
    return {
        passage.id: place
        for cluster in clusters
        for place in [_join(cluster, known) if cluster.touches else Place(cluster.id, sides[cluster.id])]
        for passage in cluster.members
    }


def _join(cluster: Cluster, known: Known) -> Place:
    """The place of new rows that are copies of earlier ones."""
    touched = [known.places[passage.id] for passage in cluster.touches]  # from the earliest row to the latest
    if len({place.side for place in touched}) == 1:
        return touched[0]
    quarantined = (place for place in touched if place.side == "quarantine")
    return next(quarantined, Place(cluster.id, "quarantine"))


def _clusters_by_side(places: Iterable[Place]) -> Counter[str]:
    distinct = {(place.cluster, place.side) for place in places if place.side != "quarantine"}
    return Counter(side for _, side in distinct)


def _with_places(table: pa.Table, places: dict[str, Place]) -> pa.Table:
    found = [places[id] for id in table["id"].to_pylist()]
    table = table.append_column("cluster", pa.array([place.cluster for place in found], pa.string()))
    return table.append_column("side", pa.array([place.side for place in found], pa.string()))
