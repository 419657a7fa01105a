"""Rows as 64-bit hashes, end to end in one array: words, grams of words, sets of either.

Loops over them are compiled (numba) on first use, and kept beside this file or in the user's cache.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

Array64 = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Hashes:
    """64-bit hashes of rows, end to end: row `i` has `values[offsets[i]:offsets[i + 1]]`."""

    values: Array64
    offsets: Offsets

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Hashes in each row."""
        return np.diff(self.offsets)

    @cached_property
    def owners(self) -> npt.NDArray[np.int64]:
        """The row of each value."""
        return np.repeat(np.arange(self.rows), self.lengths)

    def row(self, index: int) -> Array64:
        """Hashes of one row."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def rows_at(self, indices: npt.NDArray[np.int64]) -> "Hashes":
        """The rows at these indices, in their order."""
        lengths = self.lengths[indices]
        offsets = to_offsets(lengths)
        starts = np.repeat(self.offsets[indices] - offsets[:-1], lengths)
        return Hashes(self.values[starts + np.arange(offsets[-1])], offsets)

    def take(self, mask: npt.NDArray[np.bool_]) -> "Hashes":
        """The values where `mask` (of the length of `values`) is true, each still in its row."""
        return Hashes(self.values[mask], _count(mask, self.offsets))

    def among(self, known: Array64) -> "Hashes":
        """The values that are among `known` (sorted), each still in its row."""
        return self.take(among(self.values, known))

    def grams(self, size: int) -> "Hashes":
        """Hashes of every `size` neighbours within a row; a shorter row gives one of all that it has."""
        kept = np.where(self.lengths < size, np.minimum(self.lengths, 1), self.lengths - size + 1)
        offsets = to_offsets(kept)
        return Hashes(_mix_neighbours(self.values, self.offsets, offsets, size), offsets)

    def distinct(self) -> "Hashes":
        """Each row without repeats."""
        return self.take(_first_of_each(self.values, self.offsets, int(self.lengths.max(initial=0))))

    def set_digests(self) -> Array64:
        """One value for each row, whatever the order of its hashes."""
        spread = np.append(self.values * (self.values | np.uint64(1)), np.uint64(0))
        sums = np.add.reduceat(spread, self.offsets[:-1]) if self.rows else spread[:0]
        return np.where(self.lengths > 0, sums, np.uint64(0))

    @staticmethod
    def join(parts: Iterable["Hashes"]) -> "Hashes":
        """All rows of the parts, in order."""
        found = list(parts)
        lengths = np.concatenate([np.zeros(0, np.int64), *(part.lengths for part in found)])
        values = np.concatenate([np.zeros(0, np.uint64), *(part.values for part in found)])
        return Hashes(values, to_offsets(lengths))

    @staticmethod
    def beside(parts: Iterable["Hashes"]) -> "Hashes":
        """Parts of equally many rows put together row by row."""
        found = list(parts)
        offsets = to_offsets(sum(part.lengths for part in found))
        values, filled = np.empty(offsets[-1], np.uint64), offsets[:-1]
        for part in found:
            places = np.repeat(filled - part.offsets[:-1], part.lengths)
            values[places + np.arange(len(part.values))] = part.values
            filled = filled + part.lengths
        return Hashes(values, offsets)

    def to_arrow(self) -> pa.ListArray:
        """One list of `uint64` a row."""
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), pa.array(self.values))

    @staticmethod
    def from_arrow(column: pa.Array | pa.ChunkedArray) -> "Hashes":
        """The inverse of `to_arrow`."""
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        return Hashes.join(Hashes(_values(chunk), _offsets(chunk)) for chunk in chunks)


@njit(cache=True)
def table_bits(count: int) -> int:
    """First bits of a hash that so many hashes seldom share, but no more than a table in the cache has room for."""
    bits = 4
    while bits < 24 and (1 << bits) < 16 * count:
        bits += 1
    return bits


@njit(cache=True)
def among(values: Array64, known: Array64) -> npt.NDArray[np.bool_]:
    """Which values are among `known` (sorted). A table of first bits rules most of them out before the search."""
    bits = table_bits(len(known))
    shift = np.uint64(64 - bits)
    table, found = np.zeros(1 << bits, np.bool_), np.zeros(len(values), np.bool_)
    for value in known:
        table[np.int64(value >> shift)] = True
    for at in range(len(values)):
        if table[np.int64(values[at] >> shift)]:
            place = np.searchsorted(known, values[at])
            found[at] = place < len(known) and known[place] == values[at]
    return found


def to_offsets(lengths: npt.ArrayLike) -> Offsets:
    """Offsets of rows of these lengths."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


@njit(cache=True)
def scramble(values: Any) -> Any:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): every bit in depends on every bit out."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


_NUMBERS = np.arange(1, 65, dtype=np.uint64)
MULTIPLIERS = scramble.py_func(_NUMBERS * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
"""Odd numbers without a pattern: multiplying by one mixes bits and loses none."""


@njit(cache=True)
def _count(mask: npt.NDArray[np.bool_], offsets: Offsets) -> Offsets:
    """Offsets of the rows when only the places where the mask is true are left."""
    counted = np.zeros(len(offsets), np.int64)
    for row in range(len(offsets) - 1):
        counted[row + 1] = counted[row] + mask[offsets[row] : offsets[row + 1]].sum()
    return counted


@njit(cache=True)
def _mix_neighbours(values: Array64, offsets: Offsets, ends: Offsets, size: int) -> Array64:
    """For each of the `ends[row + 1] - ends[row]` places from the start of a row on, a hash of `size` neighbours."""
    mixed = np.zeros(ends[-1], np.uint64)
    for row in range(len(offsets) - 1):
        width = min(size, offsets[row + 1] - offsets[row])
        for place in range(ends[row + 1] - ends[row]):
            gram = np.uint64(0)
            for step in range(width):
                gram += values[offsets[row] + place + step] * MULTIPLIERS[step]
            mixed[ends[row] + place] = gram
    return mixed


@njit(cache=True)
def _first_of_each(values: Array64, offsets: Offsets, longest: int) -> npt.NDArray[np.bool_]:
    """Which values their row does not hold before: a hash table that is the longest row's, and wiped by a stamp."""
    bits = 4
    while (1 << bits) < 2 * longest:
        bits += 1
    table, stamps = np.zeros(1 << bits, np.uint64), np.zeros(1 << bits, np.int64)
    first = np.zeros(len(values), np.bool_)
    for row in range(len(offsets) - 1):
        for at in range(offsets[row], offsets[row + 1]):
            slot = np.int64((values[at] * MULTIPLIERS[0]) >> np.uint64(64 - bits))
            while stamps[slot] == row + 1 and table[slot] != values[at]:
                slot = (slot + 1) & ((1 << bits) - 1)
            if stamps[slot] != row + 1:
                table[slot], stamps[slot], first[at] = values[at], row + 1, True
    return first


def _values(chunk: pa.ListArray) -> Array64:
    return chunk.flatten().to_numpy()


def _offsets(chunk: pa.ListArray) -> Offsets:
    offsets = chunk.offsets.to_numpy().astype(np.int64)
    return offsets - offsets[0]
