"""Near-duplicate rows by the exact Jaccard similarity of their sets of hashes, found without comparing all pairs.

A prefix-filter set join (Chaudhuri, Ganti, Kaushik 2006; Wang, Li, Feng 2012): two sets that are similar enough share
two of their rarest members, so only rows that share two are compared, and each pair is compared in full. Before that,
members that no other row has are set aside, and with them the rows of which too little is left to reach the threshold:
in real data that is most rows. Nothing is estimated, so no pair is missed and none is made up.

The steps: members sorted by hash, so that rows with the same one lie together; pruned; ranked from rare to common; rows
that meet in a rank that is rare in both; pairs that meet twice, compared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from ft_assets.curation.hashes import Array64, Hashes, table_bits, to_offsets
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
_PAIRS = 1 << 24
"""Pairs looked at in one go: bounds the memory."""
_ROWS = 512
"""Rows whose pairs are sorted in one go, in the processor's cache."""
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
    ranks, offsets, meeting, ends = _by_row(packed, row_bits, needed)
    found = [
        _verify(pairs, ranks, offsets, sizes, needed, threshold)
        for pairs in _meetings(meeting, ends, lefts, rights, len(sizes))
    ]
    first, second, shared = np.concatenate([np.zeros((0, 3), np.int64), *found]).T
    order = np.lexsort((second, first))
    first, second, shared = first[order], second[order], shared[order]
    return Pairs(first, second - rights, shared / (sizes[first] + sizes[second] - shared))


@njit(cache=True)
def _on_both_sides(values: Array64, middle: int) -> npt.NDArray[np.bool_]:
    """Which values may be both before the middle and after it: nearly all that are not are ruled out."""
    bits = table_bits(len(values))
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


def _by_row(packed: Array64, row_bits: np.uint64, needed: Ints) -> tuple[Ranks, Ints, Ranks, Ints]:
    """The members of each row as ranks, from the rarest, and the offsets of the rows; and `_spread`'s meetings."""
    starts = _starts(packed, row_bits)
    # Numbers of 16 bits are sorted fastest, and how common the most common ones are does not matter.
    times = np.minimum(np.diff(starts), (1 << 16) - 1).astype(np.uint16)
    return _spread(packed, row_bits, starts, np.argsort(times, kind="stable"), needed)


@njit(cache=True)
def _starts(packed: Array64, row_bits: np.uint64) -> Ints:
    """Where each hash begins, and the end."""
    starts, hashes = np.empty(len(packed) + 1, np.int64), 0
    for at in range(len(packed)):
        if at == 0 or (packed[at] ^ packed[at - 1]) >> row_bits:
            starts[hashes] = at
            hashes += 1
    starts[hashes] = len(packed)
    return starts[: hashes + 1]


@njit(cache=True)
def _spread(
    packed: Array64, row_bits: np.uint64, starts: Ints, order: Ints, needed: Ints
) -> tuple[Ranks, Ints, Ranks, Ints]:
    """Ranks by row, their offsets; rows that meet in a rank that is among the rarest of each, and their offsets.

    Of a row's n members at least `needed` are shared with a similar row, so the first n - needed + 2 of them, in an
    order that is the same for all rows, hold two that both have (Wang, Li, Feng 2012); one where one is enough.
    """
    offsets = np.zeros(len(needed) + 1, np.int64)
    for member in packed:
        offsets[_row(member, row_bits) + 1] += 1
    offsets = np.cumsum(offsets)
    lengths = offsets[1:] - offsets[:-1]
    rare = np.where(lengths < needed, 0, lengths - needed + np.minimum(needed, 2))
    state = np.stack((offsets[:-1], rare), axis=1)  # side by side: rows come in no order
    ranks, meeting = np.empty(len(packed), np.int32), np.empty(rare.sum(), np.int32)
    ends = np.zeros(len(starts), np.int64)
    met = groups = 0
    for rank in range(len(order)):
        begin = met
        for at in range(starts[order[rank]], starts[order[rank] + 1]):
            row = _row(packed[at], row_bits)
            ranks[state[row, 0]] = rank
            state[row, 0] += 1
            if state[row, 1] > 0:
                state[row, 1] -= 1
                meeting[met] = row
                met += 1
        if met - begin > 1:
            groups += 1
            ends[groups] = met
        else:
            met = begin
    return ranks, offsets, meeting, ends[: groups + 1]


def _meetings(meeting: Ranks, ends: Ints, lefts: int, rights: int, rows: int) -> Iterator[Array64]:
    """(second row, first row) in one number, sorted, as often as they meet; of some second rows, then the next."""
    counts = _count_meetings(meeting, ends, lefts, rights, rows)
    chunks = np.flatnonzero(np.diff(np.cumsum(counts) // _PAIRS)) + 1
    for start, end in pairwise([0, *chunks.tolist(), len(counts)]):
        bounds = to_offsets(counts[start:end])
        pairs = _deal_meetings(meeting, ends, lefts, rights, start, bounds)
        for begin, close in pairwise(bounds.tolist()):
            pairs[begin:close].sort()
        yield pairs


@njit(cache=True)
def _count_meetings(meeting: Ranks, ends: Ints, lefts: int, rights: int, rows: int) -> Ints:
    """How many meetings there are for every `_ROWS` second rows."""
    counts = np.zeros(rows // _ROWS + 1, np.int64)
    for group in range(len(ends) - 1):
        firsts = 0
        for at in range(ends[group], ends[group + 1]):  # rows are sorted within a group
            if meeting[at] >= rights:
                counts[meeting[at] // _ROWS] += firsts
            firsts += meeting[at] < lefts
    return counts


@njit(cache=True)
def _deal_meetings(meeting: Ranks, ends: Ints, lefts: int, rights: int, start: int, bounds: Ints) -> Array64:
    filled, pairs = bounds[:-1].copy(), np.empty(bounds[-1], np.uint64)
    for group in range(len(ends) - 1):
        for at in range(ends[group] + 1, ends[group + 1]):
            second = meeting[at]
            bucket = second // _ROWS - start
            if second >= rights and 0 <= bucket < len(filled):
                for first in meeting[ends[group] : at]:
                    if first < lefts:
                        pairs[filled[bucket]] = (np.uint64(second) << np.uint64(32)) | np.uint64(first)
                        filled[bucket] += 1
    return pairs


@njit(cache=True)
def _verify(pairs: Array64, ranks: Ranks, offsets: Ints, sizes: Ints, needed: Ints, threshold: float) -> Ints:
    """(first row, second row, members they share) of rows that meet often enough and are similar."""
    found, count, at = np.empty((1024, 3), np.int64), 0, 0
    while at < len(pairs):
        begin = at
        while at < len(pairs) and pairs[at] == pairs[begin]:
            at += 1
        first, second = (
            np.int64(pairs[begin] & np.uint64(0xFFFFFFFF)),
            np.int64(pairs[begin] >> np.uint64(32)),
        )
        least = max(needed[first], needed[second])
        if at - begin < min(2, least) or min(sizes[first], sizes[second]) < least:
            continue
        shared = _overlap(ranks, offsets, first, second, least)
        if shared and shared / (sizes[first] + sizes[second] - shared) >= threshold:
            if count == len(found):
                found = np.concatenate((found, np.empty_like(found)))
            found[count, 0], found[count, 1], found[count, 2] = first, second, shared
            count += 1
    return found[:count].copy()


@njit(cache=True)
def _overlap(ranks: Ranks, offsets: Ints, first: Any, second: Any, needed: int) -> int:
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
