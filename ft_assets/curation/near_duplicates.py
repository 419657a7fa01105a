"""Near-duplicate rows by the exact Jaccard similarity of their sets of hashes, found without comparing all pairs.

A prefix-filter set join (Chaudhuri, Ganti, Kaushik 2006; Bayardo, Ma, Srikant 2007): two sets that are similar enough
share one of their rarest members, so only rows that share one are compared, and each pair is compared in full. Before
that, members that no other row has are set aside, and with them the rows of which too little is left to reach the
threshold: in real data that is most rows. Nothing is estimated, so no pair is missed and none is made up.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from numba import njit

from ft_assets.curation.hashes import Array64, Hashes
from ft_assets.curation.words import hash_words

Ints = npt.NDArray[np.int64]
Ranks = npt.NDArray[np.int32]

GRAM = 3
"""Words of a gram, by which texts are compared."""

_BLOCK = 1_024
"""Texts made into sets in one go: few enough for what they become on the way to stay in the processor's cache."""
_COMPARED = 1 << 18
"""Set members compared in one go: few enough to stay in the processor's cache."""
_IN_CACHE = 512
"""Members that are sorted in one go."""
_WORTHWHILE = 0.95
"""Share of the members that a round of pruning must leave for it to be the last."""
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
    blocks = (texts[start : start + _BLOCK] for start in range(0, len(texts), _BLOCK))
    return Hashes.join(hash_words(block).grams(GRAM).distinct() for block in blocks)


def similar_pairs(left: Hashes, right: Hashes | None, threshold: float) -> Pairs:
    """Pairs of rows whose sets of hashes have at least this Jaccard similarity.

    Args:
        left: rows, none of which holds a hash twice.
        right: where given, pairs are of a row of `left` and one of `right`; otherwise of two rows of `left`,
            the earlier one first.
        threshold: from 0 to 1.
    """
    rows = left if right is None else Hashes.join([left, right])
    # Rows before `lefts` may be the first of a pair, rows from `rights` on the second.
    lefts, rights = (rows.rows, 0) if right is None else (left.rows, left.rows)
    sizes = rows.lengths
    needed = np.maximum(np.ceil(threshold * sizes - _ROUNDING), 1).astype(np.int64)
    if right is not None:
        rows = rows.take(_on_both_sides(rows.values, len(left.values)))
    row_bits = np.uint64(max(1, rows.rows.bit_length()))
    packed = _members(rows, row_bits)
    packed = packed[: _prune(packed, row_bits, needed, lefts, rights)]
    ranks, offsets = _by_row(packed, row_bits, rows.rows)
    first, second, shared = _join(ranks, offsets, sizes, needed, threshold, lefts, rights)
    order = np.lexsort((second, first))
    first, second, shared = first[order], second[order], shared[order]
    return Pairs(first, second - rights, shared / (sizes[first] + sizes[second] - shared))


@njit(cache=True)
def _on_both_sides(values: Array64, middle: int) -> npt.NDArray[np.bool_]:
    """Which values may be both before the middle and after it: nearly all that are not are ruled out."""
    bits = 4
    while bits < 24 and (1 << bits) < 16 * len(values):
        bits += 1
    shift = np.uint64(64 - bits)
    sides = np.zeros(1 << bits, np.uint8)
    for at in range(len(values)):
        sides[np.int64(values[at] >> shift)] |= 1 if at < middle else 2
    both = np.empty(len(values), np.bool_)
    for at in range(len(values)):
        both[at] = sides[np.int64(values[at] >> shift)] == 3
    return both


def _members(rows: Hashes, row_bits: np.uint64) -> Array64:
    """(hash, row) of each member in one number, sorted.

    A hash goes without as many of its last bits as the row needs. At a million rows it keeps 44, so two that differ
    are taken for one about once in 10^13 comparisons.
    """
    # Sorted in parts that fit the processor's cache: three times as fast as all at once.
    bucket_bits = np.uint64(min(16, (len(rows.values) // _IN_CACHE).bit_length()))
    packed, bounds = _deal(rows.values, rows.offsets, row_bits, bucket_bits)
    for start, end in pairwise(bounds.tolist()):
        packed[start:end].sort()
    return packed


@njit(cache=True)
def _deal(
    values: Array64, offsets: Ints, row_bits: np.uint64, bucket_bits: np.uint64
) -> tuple[Array64, Ints]:
    """The packed members by the first bits of their hashes, and the bounds of the buckets."""
    bounds = np.zeros((1 << bucket_bits) + 1, np.int64)
    for value in values:
        bounds[_bucket(value, bucket_bits) + 1] += 1
    bounds = np.cumsum(bounds)
    filled, packed = bounds[:-1].copy(), np.empty(len(values), np.uint64)
    for row in range(len(offsets) - 1):
        for value in values[offsets[row] : offsets[row + 1]]:
            bucket = _bucket(value, bucket_bits)
            packed[filled[bucket]] = ((value >> row_bits) << row_bits) | np.uint64(row)
            filled[bucket] += 1
    return packed, bounds


@njit(cache=True)
def _bucket(value: np.uint64, bits: np.uint64) -> np.int64:
    return np.int64((value >> np.uint64(1)) >> (np.uint64(63) - bits))  # a shift by 64 would be undefined


@njit(cache=True)
def _row(member: np.uint64, row_bits: np.uint64) -> np.int64:
    return np.int64(member & ((np.uint64(1) << row_bits) - np.uint64(1)))


@njit(cache=True)
def _prune(packed: Array64, row_bits: np.uint64, needed: Ints, lefts: int, rights: int) -> int:
    """Moves to the front, and counts, members that another row (of the other side) has, of rows with enough of them.

    A row without enough takes members from others, so this goes on until hardly any more go.
    """
    size, enough = len(packed), np.ones(len(needed), np.bool_)
    while True:
        left = np.zeros(len(needed), np.int32)
        kept = at = 0
        while at < size:
            begin, hashed = kept, packed[at] >> row_bits
            while at < size and packed[at] >> row_bits == hashed:
                if enough[_row(packed[at], row_bits)]:
                    packed[kept] = packed[at]
                    kept += 1
                at += 1
            if (  # rows are sorted within a hash
                kept - begin > 1
                and _row(packed[begin], row_bits) < lefts
                and _row(packed[kept - 1], row_bits) >= rights
            ):
                for place in range(begin, kept):
                    left[_row(packed[place], row_bits)] += 1
            else:
                kept = begin
        if kept >= _WORTHWHILE * size:
            return kept
        size, enough = kept, left >= needed


def _by_row(packed: Array64, row_bits: np.uint64, rows: int) -> tuple[Ranks, Ints]:
    """The members of each row as ranks, from the rarest, and the offsets of the rows."""
    hashes = packed >> row_bits
    starts = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]])[: len(hashes)])
    times = np.diff(np.append(starts, len(packed)))
    # Numbers of 16 bits are sorted fastest, and how common the most common ones are does not matter.
    order = np.argsort(np.minimum(times, (1 << 16) - 1).astype(np.uint16), kind="stable")
    return _spread(packed, row_bits, starts[order], times[order], rows)


@njit(cache=True)
def _spread(packed: Array64, row_bits: np.uint64, starts: Ints, times: Ints, rows: int) -> tuple[Ranks, Ints]:
    offsets = np.zeros(rows + 1, np.int64)
    for member in packed:
        offsets[_row(member, row_bits) + 1] += 1
    offsets = np.cumsum(offsets)
    filled, ranks = offsets[:-1].copy(), np.empty(len(packed), np.int32)
    for rank in range(len(starts)):
        for at in range(starts[rank], starts[rank] + times[rank]):
            row = _row(packed[at], row_bits)
            ranks[filled[row]] = rank
            filled[row] += 1
    return ranks, offsets


@njit(cache=True)
def _join(
    ranks: Ranks, offsets: Ints, sizes: Ints, needed: Ints, threshold: float, lefts: int, rights: int
) -> tuple[Ints, Ints, Ints]:
    """Similar rows: the first, the second, and how many members they share.

    Of a row's n members at least `needed` are shared with a similar row, so the first n - needed + 1 of them, in an
    order that is the same for all rows, hold one that both have.
    """
    rows = len(sizes)
    rare = np.maximum(offsets[1:] - offsets[:-1] - needed + 1, 0)
    bounds, holders = _index(ranks, offsets, rare[:lefts])
    seen_by = np.full(rows, -1, np.int32)
    found, pairs = 0, np.empty((1024, 3), np.int64)
    for row in range(rows):
        for at in range(offsets[row], offsets[row] + rare[row]):
            rank = ranks[at]
            for holder in range(bounds[rank, 0], bounds[rank, 1] if row >= rights else 0):
                other = holders[holder]
                if seen_by[other] == row:
                    continue
                seen_by[other] = row
                both = sizes[other] + sizes[row]
                if min(sizes[other], sizes[row]) < threshold * max(sizes[other], sizes[row]) - _ROUNDING:
                    continue
                shared = _overlap(ranks, offsets, other, row, max(needed[other], needed[row]))
                if shared and shared / (both - shared) >= threshold:
                    if found == len(pairs):
                        pairs = np.concatenate((pairs, np.empty_like(pairs)))
                    pairs[found, 0], pairs[found, 1], pairs[found, 2] = other, row, shared
                    found += 1
            if row < lefts:
                holders[bounds[rank, 1]] = row
                bounds[rank, 1] += 1
    return pairs[:found, 0].copy(), pairs[:found, 1].copy(), pairs[:found, 2].copy()


@njit(cache=True)
def _index(ranks: Ranks, offsets: Ints, rare: Ints) -> tuple[Ints, Ranks]:
    """Room for the holders of each rank, if rows hold it among their `rare` first: its bounds (the end grows from the
    start as rows come in), and the holders."""
    bounds = np.zeros((ranks.max() + 2 if len(ranks) else 1, 2), np.int64)
    for row in range(len(rare)):
        for at in range(offsets[row], offsets[row] + rare[row]):
            bounds[ranks[at] + 1, 0] += 1
    bounds[:, 0] = np.cumsum(bounds[:, 0])
    bounds[:, 1] = bounds[:, 0]
    return bounds, np.empty(bounds[-1, 0], np.int32)


@njit(cache=True)
def _overlap(ranks: Ranks, offsets: Ints, first: int, second: int, needed: int) -> int:
    """How many ranks two rows share; 0 where they cannot share as many as needed."""
    i, j, shared = offsets[first], offsets[second], 0
    while i < offsets[first + 1] and j < offsets[second + 1]:
        if shared + min(offsets[first + 1] - i, offsets[second + 1] - j) < needed:
            return 0
        if ranks[i] == ranks[j]:
            i, j, shared = i + 1, j + 1, shared + 1
        elif ranks[i] < ranks[j]:
            i += 1
        else:
            j += 1
    return shared


def count_pairs(first: Ints, second: Ints) -> tuple[Ints, Ints, Ints]:
    """Each pair of rows once, sorted, and how often it is there."""
    pairs, times = np.unique(_packed(first, second), return_counts=True)
    return *_unpacked(pairs), times


def _packed(first: Ints, second: Ints) -> Array64:
    return (first.astype(np.uint64) << np.uint64(32)) | second.astype(np.uint64)


def _unpacked(pairs: Array64) -> tuple[Ints, Ints]:
    return (pairs >> np.uint64(32)).astype(np.int64), (pairs & np.uint64(0xFFFFFFFF)).astype(np.int64)


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
