"""Near-duplicate rows by the exact Jaccard similarity of their sets of hashes, found without comparing all pairs.

A prefix-filter set join (Chaudhuri, Ganti, Kaushik 2006; Bayardo, Ma, Srikant 2007): two sets that are similar enough
share one of their rarest members, so only rows that share one are compared, and each pair is compared in full. Before
that, members that no other row has are set aside, and with them the rows of which too little is left to reach the
threshold: in real data that is most rows. Nothing is estimated, so no pair is missed and none is made up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ft_assets.curation.words import Array64, Hashes, hash_words

Ints = npt.NDArray[np.int64]

GRAM = 3
"""Words of a gram, by which texts are compared."""

_CHUNK = 1 << 23
"""Pairs, or set members, looked at in one go: bounds the memory to some 200 MB."""
_BLOCK = 1 << 20
_WORTHWHILE = 0.95
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Pairs:
    """Similar rows: index on the left, index on the right, Jaccard similarity from 0 to 1; sorted by the indices."""

    left: Ints
    right: Ints
    similarity: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.left)

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        return zip(self.left.tolist(), self.right.tolist(), self.similarity.tolist(), strict=True)


def near_duplicates(
    texts: Sequence[str], threshold: float, against: Sequence[str] | None = None
) -> list[tuple[int, int, float]]:
    """Pairs of texts whose sets of word 3-grams have at least this Jaccard similarity, sorted.

    Args:
        threshold: from 0 to 1. Texts that share no gram are never a pair, even at 0.
        against: where given, pairs are (index in `texts`, index in `against`, similarity); otherwise
            (i, j, similarity) with i < j, both in `texts`.
    """
    right = None if against is None else gram_sets(against)
    return list(similar_pairs(gram_sets(texts), right, threshold))


def gram_sets(texts: Sequence[str]) -> Hashes:
    """The set of word 3-grams of each text."""
    return hash_words(texts).grams(GRAM).distinct()


def similar_pairs(left: Hashes, right: Hashes | None, threshold: float) -> Pairs:
    """Pairs of rows whose sets of hashes have at least this Jaccard similarity.

    Args:
        left: rows that hold no hash twice (`Hashes.distinct`).
        right: where given, pairs are of a row of `left` and one of `right`; otherwise of two rows of `left`,
            the earlier one first.
        threshold: from 0 to 1.
    """
    middle = None if right is None else left.rows
    rows = left if right is None else Hashes.join([left, right])
    needed = np.maximum(np.ceil(threshold * rows.lengths - _ROUNDING), 1).astype(np.int64)
    found = [_NONE]
    for first, second in _candidates(_prune(rows, needed, middle), needed, middle):
        sizes = np.stack([rows.lengths[first], rows.lengths[second]])
        alike = sizes.min(0) >= threshold * sizes.max(0) - _ROUNDING
        found.append(_verify(rows, first[alike], second[alike], threshold))
    first, second, similarity = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((second, first))
    return Pairs(first[order], second[order] - (middle or 0), similarity[order])


_NONE = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True)
class _Entries:
    """Members of rows that are still in play, as (row, hash) pairs."""

    rows: Ints
    values: Array64

    def keep(self, mask: npt.NDArray[np.bool_]) -> "_Entries":
        return _Entries(self.rows[mask], self.values[mask])


def _prune(rows: Hashes, needed: Ints, middle: int | None) -> _Entries:
    """Without members that no other row (of the other side) has, and rows left with fewer than they need.

    Members are counted by the first bits of their hashes, so a few are kept in vain; none is dropped that counts.
    """
    entries = _Entries(rows.owners, rows.values)
    while True:
        before = len(entries.rows)
        entries = entries.keep(_shared(entries, middle))
        counts = np.bincount(entries.rows, minlength=rows.rows)
        entries = entries.keep((counts >= needed)[entries.rows])
        if len(entries.rows) >= _WORTHWHILE * before:
            return entries


def _shared(entries: _Entries, middle: int | None) -> npt.NDArray[np.bool_]:
    places, size = _places(entries.values)
    if middle is None:
        once, twice = np.zeros(size, bool), np.zeros(size, bool)
        for block in np.array_split(places, 1 + len(places) // _BLOCK):
            twice[block[once[block]]] = True
            # What is repeated within the block: `once` as a count would cost more memory than the members.
            ordered = np.sort(block)
            twice[ordered[1:][ordered[1:] == ordered[:-1]]] = True
            once[block] = True
        return twice[places]
    on_left, on_right = np.zeros(size, bool), np.zeros(size, bool)
    on_left[places[entries.rows < middle]] = True
    on_right[places[entries.rows >= middle]] = True
    return (on_left & on_right)[places]


def _places(values: Array64) -> tuple[npt.NDArray[np.uint32], int]:
    bits = min(27, max(10, len(values).bit_length() + 1))
    return (values >> np.uint64(64 - bits)).astype(np.uint32), 1 << bits


def _candidates(entries: _Entries, needed: Ints, middle: int | None) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of rows that share one of their rarest members, each once.

    Members are put in one order for all rows, by how often they occur and then by hash. Of a row's n members at
    least `needed` are shared with a similar row, so the first n - needed + 1 hold one that both have.
    """
    row_bits = np.uint64(max(1, len(needed).bit_length()))
    key_bits = np.uint64(64) - row_bits
    packed = (entries.rows.astype(np.uint64) << key_bits) | (_rarity_keys(entries.values) >> row_bits)
    packed.sort()
    rows = (packed >> key_bits).astype(np.int64)
    counts = np.bincount(rows, minlength=len(needed))
    places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    rare = places <= (counts - needed)[rows]
    packed = (packed[rare] << row_bits) | rows[rare].astype(np.uint64)
    packed.sort()
    rows = (packed & ((np.uint64(1) << row_bits) - np.uint64(1))).astype(np.int64)
    seen = np.zeros(0, np.uint64)
    for first, second in _together(rows, packed >> row_bits, middle):
        pairs = _unique((first.astype(np.uint64) << np.uint64(32)) | second.astype(np.uint64))
        pairs = pairs[~np.isin(pairs, seen, assume_unique=True)] if len(seen) else pairs
        seen = np.concatenate([seen, pairs])
        yield (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


def _rarity_keys(values: Array64) -> Array64:
    """Keys that sort hashes from rare to common: six bits say how often one occurs, the rest is the hash."""
    places, size = _places(values)
    times = np.minimum(np.bincount(places, minlength=size), 63).astype(np.uint64)
    return (times[places] << np.uint64(58)) | (values >> np.uint64(6))


def _unique(values: Array64) -> Array64:
    """Sorted, each once."""
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def _together(rows: Ints, keys: Array64, middle: int | None) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of rows with a key in common, in chunks. Entries are sorted by key, then row."""
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    groups = np.repeat(starts, np.diff(np.append(starts, len(keys))))[: len(keys)]
    earlier = np.arange(len(rows)) - groups  # entries of the same key before this one
    if middle is not None:  # a right row goes with the left ones, which come first; left ones with nobody
        on_left = np.concatenate([[0], np.cumsum(rows < middle)])
        earlier = np.where(rows < middle, 0, on_left[:-1] - on_left[groups])
    totals = np.cumsum(earlier)
    begin = 0
    while begin < len(rows):
        done = totals[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(totals, done + _CHUNK, side="right")))
        repeat = earlier[begin:end]
        second = np.repeat(np.arange(begin, end), repeat)
        ramp = np.arange(len(second)) - np.repeat(np.cumsum(repeat) - repeat, repeat)
        yield rows[groups[second] + ramp], rows[second]
        begin = end


def _verify(
    rows: Hashes, first: Ints, second: Ints, threshold: float
) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    shared = overlaps(rows, first, second)
    similarity = shared / (rows.lengths[first] + rows.lengths[second] - shared)
    good = (shared > 0) & (similarity >= threshold)
    return first[good], second[good], similarity[good]


def overlaps(sets: Hashes, first: Ints, second: Ints) -> Ints:
    """How many values each pair of rows shares. A row must hold no value twice."""
    lengths = sets.lengths
    work = np.cumsum(lengths[first] + lengths[second])
    shared = np.zeros(len(first), np.int64)
    begin = 0
    while begin < len(first):
        done = work[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(work, done + _CHUNK, side="right")))
        shared[begin:end] = _overlaps(sets, first[begin:end], second[begin:end])
        begin = end
    return shared


def _overlaps(sets: Hashes, first: Ints, second: Ints) -> Ints:
    bits = np.uint64(max(1, len(first).bit_length()))
    packed = np.concatenate(
        [
            (pair.astype(np.uint64) << (np.uint64(64) - bits)) | (values >> bits)
            for pair, values in ((part.owners, part.values) for part in map(sets.rows_at, (first, second)))
        ]
    )
    packed.sort()
    equal = packed[1:][packed[1:] == packed[:-1]] >> (np.uint64(64) - bits)
    return np.bincount(equal.astype(np.int64), minlength=len(first))
