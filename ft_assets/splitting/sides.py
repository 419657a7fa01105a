"""Which side a cluster that touches no earlier one is dealt to."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Literal

from ft_assets.recipe_data import Splitting
from ft_assets.splitting.clusters import Cluster

Side = Literal["train", "validation", "eval", "quarantine"]
SIDES: tuple[Side, ...] = ("train", "validation", "eval", "quarantine")

Dealt = Mapping[tuple[str, str], int]
"""How many clusters were dealt before, by (slice, side)."""


def deal(clusters: Sequence[Cluster], settings: Splitting, key: bytes, dealt: Dealt) -> dict[str, Side]:
    """Side of each cluster, by cluster id.

    So many clusters go to eval and to validation that the ledger's totals come nearest to the shares, over all and
    in every slice. Which ones: those with the lowest keyed hash, or, by `strategy: time`, the latest; that cut is made
    over all slices at once, since no row in train may be newer than one dealt to eval in the same arrival.

    Args:
        key: secret of the ledger, so that nobody can write rows that fall on a side of their choice.
        dealt: clusters that the ledger already holds.
    """
    if settings.strategy == "time":
        # A cluster counts as old as its latest member: one that straddles the cut goes to the later side.
        order = sorted(clusters, key=lambda cluster: cluster.latest)
        left = {"": [cluster.id for cluster in order]}
        before = {("", side): sum(n for (_, at), n in dealt.items() if at == side) for side in SIDES}
    else:
        order = sorted(clusters, key=lambda cluster: _draw(cluster.id, settings.ledger, key), reverse=True)
        left = {cluster.slice: [] for cluster in order}
        for cluster in order:
            left[cluster.slice].append(cluster.id)
        before = dict(dealt)
    return _deal_from_the_end(left, settings, before)


def _draw(cluster: str, ledger: str, key: bytes) -> bytes:
    return hmac.new(key, f"{ledger}\0{cluster}".encode(), hashlib.sha256).digest()


def _deal_from_the_end(left: dict[str, list[str]], settings: Splitting, dealt: Dealt) -> dict[str, Side]:
    new = {name: len(ids) for name, ids in left.items()}
    sides: dict[str, Side] = {}
    shares: tuple[tuple[Side, float], ...] = (("eval", settings.eval), ("validation", settings.validation))
    for side, share in shares:
        room = {name: len(ids) for name, ids in left.items()}
        for name, wanted in _quotas(side, share, new, room, dealt).items():
            for _ in range(wanted):
                sides[left[name].pop()] = side
    return {**sides, **{id: "train" for ids in left.values() for id in ids}}


def _quotas(
    side: str, share: float, new: Mapping[str, int], room: Mapping[str, int], dealt: Dealt
) -> dict[str, int]:
    """Clusters of each slice for one side: whole ones by slice, then one more where most is owed, up to the total."""
    totals = {name: count + sum(dealt.get((name, at), 0) for at in SIDES) for name, count in new.items()}
    owed = {name: share * totals[name] - dealt.get((name, side), 0) for name in new}
    quotas = {name: min(room[name], max(0, int(owed[name]))) for name in new}
    everywhere = sum(new.values()) + sum(dealt.values())
    missing = round(share * everywhere) - sum(n for (_, at), n in dealt.items() if at == side)
    missing -= sum(quotas.values())
    for name in sorted(new, key=lambda name: (quotas[name] - owed[name], name)):
        if missing > 0 and quotas[name] < room[name]:
            quotas[name] += 1
            missing -= 1
    return quotas
