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

_PAIRS = 1 << 22
"""Pairs looked at in one go: bounds the memory."""
_COMPARED = 1 << 18
"""Set members compared in one go: few enough to stay in the processor's cache."""
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
    return hash_words(texts).grams(GRAM)


def similar_pairs(left: Hashes, right: Hashes | None, threshold: float) -> Pairs:
    """Pairs of rows whose sets of hashes have at least this Jaccard similarity.

    Args:
        left: rows; a hash that a row holds twice counts once.
        right: where given, pairs are of a row of `left` and one of `right`; otherwise of two rows of `left`,
            the earlier one first.
        threshold: from 0 to 1.
    """
    middle = None if right is None else left.rows
    members, sizes = _members(left if right is None else Hashes.join([left, right]))
    needed = np.maximum(np.ceil(threshold * sizes - _ROUNDING), 1).astype(np.int64)
    sets = _by_row(_prune(members, needed, middle), len(sizes))
    found = [_NONE]
    for first, second in _candidates(sets, needed, middle):
        alike = (
            np.minimum(sizes[first], sizes[second])
            >= threshold * np.maximum(sizes[first], sizes[second]) - _ROUNDING
        )
        first, second = first[alike], second[alike]
        shared = overlaps(sets, first, second)
        similarity = shared / (sizes[first] + sizes[second] - shared)
        good = (shared > 0) & (similarity >= threshold)
        found.append((first[good], second[good], similarity[good]))
    first, second, similarity = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((second, first))
    return Pairs(first[order], second[order] - (middle or 0), similarity[order])


_NONE = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


@dataclass(frozen=True)
class _Members:
    """(hash, row) pairs in one number each, sorted: the hash without as many of its last bits as the row needs.

    At a million rows a hash keeps 44 bits, so two that differ are taken for one about once in 10^13 comparisons.
    """

    packed: Array64
    row_bits: np.uint64

    @property
    def rows(self) -> Ints:
        return (self.packed & ((np.uint64(1) << self.row_bits) - np.uint64(1))).astype(np.int64)

    @property
    def repeats(self) -> npt.NDArray[np.bool_]:
        """Whether the hash of a member is that of the one before it."""
        same = (self.packed[1:] ^ self.packed[:-1]) < (np.uint64(1) << self.row_bits)
        return np.concatenate([[False], same]) if len(self.packed) else np.zeros(0, bool)

    def keep(self, mask: npt.NDArray[np.bool_]) -> "_Members":
        return _Members(self.packed[mask], self.row_bits)


def _members(rows: Hashes) -> tuple[_Members, Ints]:
    """Members of all rows, each once, and the size of every row's set."""
    row_bits = np.uint64(max(1, rows.rows.bit_length()))
    packed = (rows.values >> row_bits) << row_bits
    packed |= np.repeat(np.arange(rows.rows, dtype=np.uint64), rows.lengths)
    packed.sort()
    again = np.flatnonzero(packed[1:] == packed[:-1]) + 1
    members = _Members(np.delete(packed, again) if len(again) else packed, row_bits)
    repeated = _Members(packed[again], row_bits).rows
    return members, rows.lengths - np.bincount(repeated, minlength=rows.rows)


def _prune(members: _Members, needed: Ints, middle: int | None) -> _Members:
    """Without members that no other row (of the other side) has, and rows left with fewer than they need."""
    while True:
        before = len(members.packed)
        members = members.keep(_shared(members, middle))
        rows = members.rows
        enough = np.bincount(rows, minlength=len(needed)) >= needed
        members = members.keep(enough[rows])
        if len(members.packed) >= _WORTHWHILE * before:
            return members


def _shared(members: _Members, middle: int | None) -> npt.NDArray[np.bool_]:
    repeats = members.repeats
    if middle is None:
        return repeats | np.append(repeats[1:], False)[: len(repeats)]
    starts = np.flatnonzero(~repeats)
    lengths = np.diff(np.append(starts, len(repeats)))
    rows = members.rows  # sorted within a hash, so its first and last row tell whether it is on both sides
    both = (rows[starts] < middle) & (rows[starts + lengths - 1] >= middle)
    return np.repeat(both, lengths)


def _by_row(members: _Members, rows: int) -> Hashes:
    """The sets of all rows, their members as keys that sort from rare to common, so sorted.

    A key says in its first six bits how many rows have the hash, then its rank among the hashes; the rest is 0.
    """
    repeats = members.repeats
    starts = np.flatnonzero(~repeats)
    lengths = np.diff(np.append(starts, len(repeats)))
    times = np.minimum(lengths, 63).astype(np.uint64) << (np.uint64(58) - members.row_bits)
    free = np.uint64(58) - members.row_bits - np.uint64(len(starts).bit_length())
    keys = np.repeat(times | (np.arange(len(starts), dtype=np.uint64) << free), lengths)
    owners = members.rows
    packed = (owners.astype(np.uint64) << (np.uint64(64) - members.row_bits)) | keys
    packed.sort()
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=rows))])
    return Hashes(packed << members.row_bits, offsets)


def _candidates(sets: Hashes, needed: Ints, middle: int | None) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of rows that share one of their rarest members, each once.

    Of a row's n members at least `needed` are shared with a similar row, so the first n - needed + 1 of them, in an
    order that is the same for all rows, hold one that both have.
    """
    row_bits = np.uint64(max(1, sets.rows.bit_length()))
    places = np.arange(len(sets.values)) - sets.offsets[sets.owners]
    rare = places <= (sets.lengths - needed)[sets.owners]
    packed = sets.values[rare] | sets.owners[rare].astype(np.uint64)  # keys leave the row's bits free
    packed.sort()
    rows = (packed & ((np.uint64(1) << row_bits) - np.uint64(1))).astype(np.int64)
    seen = np.zeros(0, np.uint64)
    for first, second in _together(rows, packed >> row_bits, middle):
        pairs = _unique(_packed(first, second))
        pairs = pairs[~np.isin(pairs, seen, assume_unique=True)] if len(seen) else pairs
        seen = np.concatenate([seen, pairs])
        yield _unpacked(pairs)


def count_pairs(first: Ints, second: Ints) -> tuple[Ints, Ints, Ints]:
    """Each pair of rows once, sorted, and how often it is there."""
    pairs, times = np.unique(_packed(first, second), return_counts=True)
    return *_unpacked(pairs), times


def _packed(first: Ints, second: Ints) -> Array64:
    return (first.astype(np.uint64) << np.uint64(32)) | second.astype(np.uint64)


def _unpacked(pairs: Array64) -> tuple[Ints, Ints]:
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


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
        end = max(begin + 1, int(np.searchsorted(totals, done + _PAIRS, side="right")))
        repeat = earlier[begin:end]
        second = np.repeat(np.arange(begin, end), repeat)
        ramp = np.arange(len(second)) - np.repeat(np.cumsum(repeat) - repeat, repeat)
        yield rows[groups[second] + ramp], rows[second]
        begin = end


def overlaps(sets: Hashes, first: Ints, second: Ints) -> Ints:
    """How many values each pair of rows shares. A row must hold no value twice."""
    lengths = sets.lengths
    work = np.cumsum(lengths[first] + lengths[second])
    shared = np.zeros(len(first), np.int64)
    begin = 0
    while begin < len(first):
        done = work[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(work, done + _COMPARED, side="right")))
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
