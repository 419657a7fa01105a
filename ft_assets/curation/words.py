"""Texts as hashed words: the form in which rows are compared, stored and searched.

Words are compared without case, punctuation, accents and disguises: full-width letters, letters of other alphabets
that look Latin, and characters that nobody sees. Hashes are the same in every process and version.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Array64 = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.int64]

_BLOCK = 4_096
"""Rows worked on at a time: few enough for their words to stay in the processor's cache."""

# Chinese, Japanese, Thai, Lao, Burmese and Khmer are written without spaces: each character counts as a word.
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_WORD = re.compile(f"[{_ALONE}]|[^\\W{_ALONE}]+")
_ACCENT = re.compile("[\u0300-\u036f]")
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)
# Small letters that readers take for Latin, or whose capitals they do (Unicode's UTS 39 lists many more).
_CYRILLIC = ("аеорсухіјѕԁԛԝһӏвкмнт", "aeopcyxijsdqwhlbkmht")
_GREEK = ("αορνικτυχηεβμζ", "aopviktuxhebmz")
_LOOK_ALIKES = str.maketrans(*("".join(pair) for pair in zip(_CYRILLIC, _GREEK, strict=True)))
_SEPARATOR = ord(" ")
_BYTES = bytes(
    (ord(chr(code).lower()) if chr(code).isalnum() or chr(code) == "_" else _SEPARATOR)
    if code < 128
    else code
    for code in range(256)
)
"""Lower case for ASCII letters, a space for ASCII characters that are in no word."""


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
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        starts = np.repeat(self.offsets[indices] - offsets[:-1], lengths)
        return Hashes(self.values[starts + np.arange(offsets[-1])], offsets)

    def take(self, mask: npt.NDArray[np.bool_]) -> "Hashes":
        """The values where `mask` (of the length of `values`) is true, each still in its row."""
        kept = np.concatenate([[0], np.cumsum(mask)])
        return Hashes(self.values[mask], kept[self.offsets])

    def grams(self, size: int) -> "Hashes":
        """Hashes of every `size` neighbours within a row; a shorter row gives one of all that it has."""
        return Hashes.join(block._grams(size) for block in self._blocks())

    def _blocks(self) -> Iterator["Hashes"]:
        for start in range(0, self.rows, _BLOCK):
            offsets = self.offsets[start : start + _BLOCK + 1]
            yield Hashes(self.values[offsets[0] : offsets[-1]], offsets - offsets[0])

    def _grams(self, size: int) -> "Hashes":
        values, lengths = self.values, self.lengths
        mixed = np.zeros(len(values), np.uint64)
        for step in range(min(size, len(values))):
            mixed[: len(values) - step] += values[step:] * _MULTIPLIERS[step]
        starts = np.ones(len(values), bool)
        for step in range(1, size):  # the last places of a row begin grams that would reach into the next
            ends = self.offsets[1:][lengths > step] - step
            starts[ends] = False
        short = np.flatnonzero((lengths < size) & (lengths > 0))
        mixed[self.offsets[short]] = 0
        for step in range(size):
            inside = short[lengths[short] > step]
            mixed[self.offsets[inside]] += values[self.offsets[inside] + step] * _MULTIPLIERS[step]
        starts[self.offsets[short]] = True
        kept = np.where(lengths < size, np.minimum(lengths, 1), lengths - size + 1)
        return Hashes(mixed[starts], np.concatenate([[0], np.cumsum(kept)]))

    def distinct(self) -> "Hashes":
        """Each row without repeats."""
        shift = np.uint64(max(1, self.rows.bit_length()))
        packed = (self.owners.astype(np.uint64) << (np.uint64(64) - shift)) | (self.values >> shift)
        packed.sort()  # tells which rows may repeat a value: few, so only those are looked at closely
        repeats = packed[1:][packed[1:] == packed[:-1]] >> (np.uint64(64) - shift)
        suspects = np.zeros(self.rows, bool)
        suspects[repeats.astype(np.int64)] = True
        at = np.flatnonzero(suspects[self.owners])
        if not len(at):
            return self
        order = at[np.lexsort((self.values[at], self.owners[at]))]
        same_row = self.owners[order[1:]] == self.owners[order[:-1]]
        keep = np.ones(len(self.values), bool)
        keep[order[1:][same_row & (self.values[order[1:]] == self.values[order[:-1]])]] = False
        return self.take(keep)

    @staticmethod
    def join(parts: Iterable["Hashes"]) -> "Hashes":
        """All rows of the parts, in order."""
        found = list(parts)
        lengths = np.concatenate([np.zeros(0, np.int64), *(part.lengths for part in found)])
        values = np.concatenate([np.zeros(0, np.uint64), *(part.values for part in found)])
        return Hashes(values, np.concatenate([[0], np.cumsum(lengths)]))

    @staticmethod
    def beside(parts: Iterable["Hashes"]) -> "Hashes":
        """Parts of equally many rows put together row by row."""
        found = list(parts)
        owners = np.concatenate([part.owners for part in found])
        values = np.concatenate([part.values for part in found])[np.argsort(owners, kind="stable")]
        lengths = sum(part.lengths for part in found)
        return Hashes(values, np.concatenate([[0], np.cumsum(lengths)]))

    def to_arrow(self) -> pa.ListArray:
        """One list of `uint64` a row."""
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), pa.array(self.values))

    @staticmethod
    def from_arrow(column: pa.Array | pa.ChunkedArray) -> "Hashes":
        """The inverse of `to_arrow`."""
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        return Hashes.join(Hashes(_values(chunk), _offsets(chunk)) for chunk in chunks)


def hash_words(texts: Sequence[str]) -> Hashes:
    """The words of each text in their order. A text without words has one: itself, without white space."""
    blocks = range(0, len(texts), _BLOCK)
    return Hashes.join(_hash_block(texts[start : start + _BLOCK]) for start in blocks)


def fold(text: str) -> str:
    """The text without case, accents, compatibility forms, look-alike letters and unseen characters."""
    if text.isascii():
        return text.lower()
    bare = _ACCENT.sub("", unicodedata.normalize("NFKD", _UNSEEN.sub("", text)))
    return unicodedata.normalize("NFKC", bare).casefold().translate(_LOOK_ALIKES)


def text_key(text: str) -> int:
    """64-bit hash of the folded text, equal for texts that differ in case, white space or disguise only."""
    content = " ".join(fold(text).split()).encode(errors="surrogatepass")
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")


def _hash_block(texts: Sequence[str]) -> Hashes:
    spelt = (
        texts
        if all(map(str.isascii, texts))
        else [text if text.isascii() else _spell(text) for text in texts]
    )
    hashes = _hash_spelt(spelt)
    if hashes.lengths.all():
        return hashes
    wordless = set(np.flatnonzero(hashes.lengths == 0).tolist())
    return _hash_spelt([_spell(text) if row in wordless else text for row, text in enumerate(spelt)])


def _hash_spelt(texts: Sequence[str]) -> Hashes:
    """Words of texts that only ASCII separators part."""
    encoded = list(map(str.encode, texts))
    # A separator at both ends, and room to read eight bytes from the start of any word.
    joined = np.frombuffer(b" ".join([b"", *encoded, bytes(8)]).translate(_BYTES), np.uint8)
    separators = np.flatnonzero(joined == _SEPARATOR)
    starts, lengths = separators[:-1] + 1, np.diff(separators) - 1
    starts, lengths = starts[lengths > 0], lengths[lengths > 0]
    rows = np.cumsum([1, *(len(text) + 1 for text in encoded)])
    return Hashes(_hash_spellings(joined, starts, lengths), np.searchsorted(starts, rows))


def _spell(text: str) -> str:
    """The text as words that only ASCII separators part."""
    if words := _WORD.findall(fold(text)):
        return " ".join(words)
    return "".join(text.split()).encode(errors="surrogatepass").hex() or "_empty_"


def _hash_spellings(data: npt.NDArray[np.uint8], starts: Offsets, lengths: Offsets) -> Array64:
    """A hash of the bytes of each word, taken in eight at a time; most words are done in one turn."""
    eight = np.ndarray(len(data) - 7, "<u8", data.data, strides=(1,))  # the eight bytes from each place on
    hashes = _take_in(lengths.astype(np.uint64), eight[starts], lengths)
    words = np.flatnonzero(lengths > 8)
    places, left = starts[words] + 8, lengths[words] - 8
    while len(words):
        hashes[words] = _take_in(hashes[words], eight[places], left)
        more = left > 8
        places, left, words = places[more] + 8, left[more] - 8, words[more]
    return hashes


def _take_in(hashes: Array64, eight: Array64, left: Offsets) -> Array64:
    return _scramble(hashes + (eight & _FIRST_BYTES[np.minimum(left, 8)]) * _MULTIPLIERS[0])


def _scramble(values: Array64) -> Array64:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): every bit in depends on every bit out."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _multipliers(places: npt.NDArray[np.int64]) -> Array64:
    return _scramble((places.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)


_MULTIPLIERS = _multipliers(np.arange(64))
_FIRST_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)


def _values(chunk: pa.ListArray) -> Array64:
    return chunk.flatten().to_numpy()


def _offsets(chunk: pa.ListArray) -> Offsets:
    offsets = chunk.offsets.to_numpy().astype(np.int64)
    return offsets - offsets[0]
