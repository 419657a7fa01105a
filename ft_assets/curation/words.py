"""Texts as hashed words: the form in which rows are compared, stored and searched.

Words are compared without case, punctuation, accents and disguises: full-width letters, letters of other alphabets
that look Latin, and characters that nobody sees. Hashes are the same in every process and version.
"""

import re
import unicodedata
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa
from numba import njit

from ft_assets.curation.hashes import MULTIPLIERS, Array64, Hashes, Offsets, scramble, to_offsets

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
_ROOM = " " * 16
"""After the last text, so that its last word ends, and eight bytes can be read from the start of any word."""
_ONES = np.uint64(0x0101010101010101)
_SEPARATORS = _ONES * np.uint64(_SEPARATOR)
_FIRST_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)


def hash_words(texts: Sequence[str]) -> Hashes:
    """The words of each text in their order. A text without words has one: itself, without white space."""
    blocks = range(0, len(texts), _BLOCK)
    return Hashes.join(_hash_block(texts[start : start + _BLOCK]) for start in blocks)


def hash_column(texts: pa.StringArray) -> Hashes:
    """The words of each text in their order; a text without words, or a missing one, has none."""
    blocks = range(0, len(texts), _BLOCK)
    return Hashes.join(_hash_arrow(texts.slice(start, _BLOCK)) for start in blocks)


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
    hashes = _hash_strings(texts)
    if hashes.lengths.all():
        return hashes
    wordless = set(np.flatnonzero(hashes.lengths == 0).tolist())
    return _hash_strings([_stand_in(text) if row in wordless else text for row, text in enumerate(texts)])


def _hash_strings(texts: Sequence[str]) -> Hashes:
    joined = "".join([*texts, _ROOM])
    if not joined.isascii():
        texts = [text if text.isascii() else " ".join(_spell(text)) for text in texts]
        encoded = [text.encode() for text in [*texts, _ROOM]]
        return _hash_spelt(b"".join(encoded), to_offsets(list(map(len, encoded[:-1]))))
    return _hash_spelt(joined.encode(), to_offsets(list(map(len, texts))))


def _hash_arrow(texts: pa.StringArray) -> Hashes:
    """The same from the memory that holds the texts, as long as they are ASCII."""
    _, bounds, data = texts.buffers()
    ends = np.frombuffer(bounds, np.int32, len(texts) + 1, 4 * texts.offset).astype(np.int64)
    held = data.slice(int(ends[0]), int(ends[-1] - ends[0])) if data else b""
    content = b"".join([held, _ROOM.encode()])
    if content.isascii():
        return _hash_spelt(content, ends - ends[0])
    return _hash_strings([text or "" for text in texts.to_pylist()])


def _hash_spelt(content: bytes, bounds: Offsets) -> Hashes:
    """Words of texts that only ASCII separators part, the texts end to end and then `_ROOM`."""
    data = content.translate(_BYTES)
    eight = np.ndarray(len(data) - 7, "<u8", data, strides=(1,))  # the eight bytes from each place on
    return Hashes(*_hash_bytes(eight, bounds))


def _spell(text: str) -> list[str]:
    """The words of a text, each as it is compared."""
    return _WORD.findall(fold(text))


def _stand_in(text: str) -> str:
    """A word for a text that has none."""
    return "".join(text.split()).encode(errors="surrogatepass").hex() or "_empty_"


@njit(cache=True)
def _hash_bytes(eight: Array64, bounds: Offsets) -> tuple[Array64, Offsets]:
    """The hashed words of each text, and the offsets of the rows.

    Args:
        eight: the eight bytes from each place on; after the last text a separator.
        bounds: where each text begins; last, where the last one ends.
    """
    hashes = np.empty((bounds[-1] + len(bounds)) // 2, np.uint64)
    offsets = np.zeros(len(bounds), np.int64)
    found = 0
    for row in range(len(bounds) - 1):
        at = bounds[row]
        while at < bounds[row + 1]:
            length = min(_word_length(eight, at), bounds[row + 1] - at)
            if length:
                hashes[found] = _hash_word(eight, at, length)
                found += 1
            at += length + 1
        offsets[row + 1] = found
    return hashes[:found].copy(), offsets


@njit(cache=True)
def _word_length(eight: Array64, at: int) -> np.int64:
    """Bytes up to the next separator, eight looked at in one go (Mycroft 1987)."""
    length = np.int64(0)
    while True:
        other = eight[at + length] ^ _SEPARATORS
        marks = (other - _ONES) & ~other & (_ONES << np.uint64(7))
        if marks:  # the lowest mark is true; count the bytes below it
            before = ((marks & (~marks + np.uint64(1))) >> np.uint64(7)) - np.uint64(1)
            return length + np.int64(((before & _ONES) * _ONES) >> np.uint64(56))
        length += np.int64(8)


@njit(cache=True)
def _hash_word(eight: Array64, at: int, length: np.int64 | int) -> np.uint64:
    """A hash of the bytes of a word, taken in eight at a time after its length."""
    hashed = np.uint64(length)
    while length > 0:
        hashed = scramble(hashed + (eight[at] & _FIRST_BYTES[min(length, 8)]) * MULTIPLIERS[0])
        at, length = at + 8, length - 8
    return hashed
