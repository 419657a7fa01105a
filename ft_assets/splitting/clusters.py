"""Clusters of near-duplicates: rows that must lie on one side of the split."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from ft_assets.curation.near_duplicates import near_duplicates
from ft_assets.splitting.copies import Gram, common_phrases, embedded_questions, repeated_answers, same
from ft_assets.splitting.passages import Passage, plain

_COMMON_SHARE = 0.05
_COMMON_ROWS = 5


@dataclass(frozen=True)
class Cluster:
    """New passages linked to one another, and the known passages that any of them is a copy of."""

    members: tuple[Passage, ...]
    touches: tuple[Passage, ...]

    @property
    def id(self) -> str:
        """Id of the earliest member (by `created_at`, then id)."""
        return self.members[0].id


def find_clusters(new: Sequence[Passage], known: Sequence[Passage], jaccard: float) -> list[Cluster]:
    """Every new passage in exactly one cluster, clusters and their members from the earliest to the latest.

    Two new passages share a cluster when a chain of copies through *new* passages joins them. Known ones
    keep the clusters they have, and are only named.

    Args:
        jaccard: similarity of word 3-grams, 0 to 1, from which two texts are near-copies.
    """
    # Boilerplate is what over 5 % of all rows share: less, and a row copied many times would look like it.
    limit = max(_COMMON_ROWS, _COMMON_SHARE * (len(new) + len(known)))
    common = common_phrases(([passage] for passage in chain(new, known)), limit)
    groups = _Groups(len(new))
    for i, j in _links_within(new, jaccard, common):
        groups.join(i, j)
    touches: defaultdict[int, set[int]] = defaultdict(set)
    for i, j in _links_between(new, known, jaccard, common):
        touches[groups.find(i)].add(j)
    members: defaultdict[int, list[Passage]] = defaultdict(list)
    for i, passage in enumerate(new):
        members[groups.find(i)].append(passage)
    found = [_cluster(members[root], [known[j] for j in touches[root]]) for root in members]
    return sorted(found, key=lambda cluster: cluster.members[0].age)


def _cluster(members: list[Passage], touches: list[Passage]) -> Cluster:
    by_age = (tuple(sorted(passages, key=lambda passage: passage.age)) for passages in (members, touches))
    return Cluster(*by_age)


def _links_within(rows: Sequence[Passage], jaccard: float, common: set[Gram]) -> Iterator[tuple[int, int]]:
    yield from _same_questions(rows)
    for i, j, _ in near_duplicates([row.text for row in rows], jaccard):
        yield i, j
    for find in (embedded_questions, repeated_answers):
        for i, j, _ in find(rows, rows, common):
            yield i, j


def _links_between(
    new: Sequence[Passage], known: Sequence[Passage], jaccard: float, common: set[Gram]
) -> Iterator[tuple[int, int]]:
    if not known:
        return
    yield from same(new, known, lambda row: row.question)
    for i, j, _ in near_duplicates([row.text for row in new], jaccard, [row.text for row in known]):
        yield i, j
    for find in (embedded_questions, repeated_answers):
        for i, j, _ in find(new, known, common):
            yield i, j
        for j, i, _ in find(known, new, common):
            yield i, j


def _same_questions(rows: Sequence[Passage]) -> Iterator[tuple[int, int]]:
    """Each row with the first that asks the same: as good as all pairs, and not quadratic."""
    first: dict[str, int] = {}
    for i, row in enumerate(rows):
        yield i, first.setdefault(plain(row.question), i)


class _Groups:
    """Union-find over 0 … size - 1, with path halving."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def find(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def join(self, i: int, j: int) -> None:
        self._parent[self.find(i)] = self.find(j)
