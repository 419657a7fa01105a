"""Clusters of near-duplicates: rows that must lie on one side of the split."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from ft_assets.curation.hashes import Array64, Hashes
from ft_assets.curation.near_duplicates import Ints, similar_pairs
from ft_assets.splitting.copies import common_phrases, embedded_questions, equal_values, repeated_answers
from ft_assets.splitting.edits import edited_copies
from ft_assets.splitting.passages import Passages

_COMMON = 5
"""Clusters that may share a phrase before it counts as boilerplate."""
_RARE = 10
"""Unlike rows that may share a 3-gram before it is not rare: more than for the contamination search, which so finds
nothing that the ledger let pass."""


@dataclass(frozen=True)
class Cluster:
    """New rows linked to one another, and the known rows that any of them is a copy of.

    Attributes:
        members: ids of the new rows, from the earliest to the latest.
        touches: ids of the known rows, from the earliest to the latest.
        slice: of the earliest member.
        latest: age of the latest member.
    """

    members: tuple[str, ...]
    touches: tuple[str, ...]
    slice: str
    latest: tuple[datetime, str]

    @property
    def id(self) -> str:
        """Id of the earliest member (by `created_at`, then id)."""
        return self.members[0]


def find_clusters(
    new: Passages, known: Passages, clusters: Sequence[str], jaccard: float, by_group: bool = False
) -> list[Cluster]:
    """Every new row in exactly one cluster, clusters from the earliest to the latest.

    Two new rows share a cluster when a chain of copies through *new* rows joins them. Known ones keep the clusters
    they have, and are only named.

    Args:
        clusters: the cluster of each known row.
        jaccard: similarity of word 3-grams, 0 to 1, from which two texts are near-copies.
        by_group: rows of one `group` are linked too.
    """
    groups = _Groups(len(new))
    groups.join_all(_copies_within(new, jaccard, by_group))
    # Phrases are counted by cluster, not by row: a row that was copied many times would look like boilerplate.
    common = _boilerplate(new, groups.labels(), known, clusters)
    groups.join_all(_found_within(new, common))
    touches: defaultdict[int, set[int]] = defaultdict(set)
    for pairs in _links_between(new, known, jaccard, common, by_group):
        for i, j in _listed(pairs):
            touches[groups.find(i)].add(j)
    members: defaultdict[int, list[int]] = defaultdict(list)
    for i in sorted(range(len(new)), key=new.age):
        members[groups.find(i)].append(i)
    return [_cluster(new, rows, known, touches[root]) for root, rows in members.items()]


def _cluster(new: Passages, members: list[int], known: Passages, touches: set[int]) -> Cluster:
    return Cluster(
        members=tuple(new.ids[i] for i in members),
        touches=tuple(known.ids[j] for j in sorted(touches, key=known.age)),
        slice=new.slices[members[0]],
        latest=new.age(members[-1]),
    )


def _boilerplate(new: Passages, labels: Sequence[int], known: Passages, clusters: Sequence[str]) -> Array64:
    names = [*(f"new {label}" for label in labels), *clusters]
    groups = np.unique(np.array(names, object), return_inverse=True)[1]
    return common_phrases(Hashes.join([new.texts, known.texts]), groups, _COMMON)


def _copies_within(rows: Passages, jaccard: float, by_group: bool) -> Iterator[tuple[Ints, Ints]]:
    yield _to_first(rows.keys)
    if by_group:
        named = np.array([i for i, group in enumerate(rows.groups) if group is not None], np.int64)
        places, first = _to_first(np.array([rows.groups[i] for i in named], object))
        yield named[places], named[first]
    same = rows.grams.set_digests()
    yield _to_first(same)
    # One of each set is compared: else many copies of one row would make as many pairs as they have pairs.
    _, single = np.unique(same, return_index=True)
    pairs = similar_pairs(rows.grams.rows_at(single), None, jaccard)
    yield single[pairs.left], single[pairs.right]


def _found_within(rows: Passages, common: Array64) -> Iterator[tuple[Ints, Ints]]:
    _, asked_first = np.unique(rows.keys, return_index=True)
    pairs = embedded_questions(rows.rows_at(asked_first), rows, common)
    yield asked_first[pairs.left], pairs.right
    pairs = repeated_answers(rows, rows, common)
    yield pairs.left, pairs.right
    pairs = edited_copies(rows, rows, _RARE)
    yield pairs.left, pairs.right


def _links_between(
    new: Passages, known: Passages, jaccard: float, common: Array64, by_group: bool
) -> Iterator[tuple[Ints, Ints]]:
    if not len(known):
        return
    yield equal_values(new.keys, known.keys)
    if by_group:
        yield _same_groups(new, known)
    pairs = similar_pairs(new.grams, known.grams, jaccard)
    yield pairs.left, pairs.right
    pairs = edited_copies(known, new, _RARE)
    yield pairs.right, pairs.left
    for find in (embedded_questions, repeated_answers):
        pairs = find(new, known, common)
        yield pairs.left, pairs.right
        pairs = find(known, new, common)
        yield pairs.right, pairs.left


def _same_groups(new: Passages, known: Passages) -> tuple[Ints, Ints]:
    numbers = {name: number for number, name in enumerate({*new.groups, *known.groups} - {None}, start=1)}
    # Rows without a group get a number of their own side, so that they meet nobody.
    left = np.array([numbers.get(group, 0) if group else 0 for group in new.groups], np.uint64)
    right = np.array(
        [numbers.get(group, 0) if group else len(numbers) + 1 for group in known.groups], np.uint64
    )
    return equal_values(left, right)


def _to_first(values: np.ndarray) -> tuple[Ints, Ints]:
    """Each place with the first that holds the same value: as good as all pairs, and not quadratic."""
    if not len(values):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    return np.arange(len(values)), first[inverse]


def _listed(pairs: tuple[Ints, Ints]) -> Iterable[tuple[int, int]]:
    return zip(*(places.tolist() for places in pairs), strict=True)


class _Groups:
    """Union-find over 0 … size - 1, with path halving."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def join_all(self, links: Iterable[tuple[Ints, Ints]]) -> None:
        for pairs in links:
            for i, j in _listed(pairs):
                self._parent[self.find(i)] = self.find(j)

    def labels(self) -> list[int]:
        return [self.find(i) for i in range(len(self._parent))]
