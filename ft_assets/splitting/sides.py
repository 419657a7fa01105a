"""Which side a cluster that touches no earlier one is dealt to."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Literal

from ft_assets.recipe import Splitting
from ft_assets.splitting.clusters import Cluster

Side = Literal["train", "validation", "eval", "quarantine"]
SIDES: tuple[Side, ...] = ("train", "validation", "eval", "quarantine")


def deal(
    clusters: Sequence[Cluster], settings: Splitting, key: bytes, dealt: Mapping[str, int]
) -> dict[str, Side]:
    """Side of each cluster, by cluster id.

    Args:
        key: secret of the ledger, so that nobody can write rows that fall on a side of their choice.
        dealt: clusters that the ledger already holds on each side.
    """
    if settings.strategy == "time":
        return _by_time(clusters, settings, dealt)
    return {cluster.id: _by_hash(cluster.id, settings, key) for cluster in clusters}


def _by_hash(cluster: str, settings: Splitting, key: bytes) -> Side:
    content = f"{settings.ledger}\0{cluster}".encode()
    draw = int.from_bytes(hmac.new(key, content, hashlib.sha256).digest()[:8], "big") / 2**64
    if draw < settings.eval:
        return "eval"
    return "validation" if draw < settings.eval + settings.validation else "train"


def _by_time(clusters: Sequence[Cluster], settings: Splitting, dealt: Mapping[str, int]) -> dict[str, Side]:
    # A cluster counts as old as its latest member: one that straddles the cut goes to the later side, so
    # nothing dealt to train is newer than what this arrival deals to eval.
    left = [cluster.id for cluster in sorted(clusters, key=lambda cluster: cluster.members[-1].age)]
    total = len(left) + sum(dealt.values())
    sides: dict[str, Side] = {}
    shares: tuple[tuple[Side, float], ...] = (("eval", settings.eval), ("validation", settings.validation))
    for side, share in shares:
        wanted = min(len(left), max(0, round(share * total) - dealt.get(side, 0)))
        while wanted > 0:
            sides[left.pop()] = side
            wanted -= 1
    return {**sides, **dict.fromkeys(left, "train")}
