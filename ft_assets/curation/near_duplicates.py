"""Near-duplicate texts: MinHash proposes pairs, the exact Jaccard similarity of word 3-grams decides.

Proposals alone would delete unique rows of templated data, so no pair is returned on an estimate.
Bands are chosen so that a pair exactly at the threshold is missed less than once in 10,000 times
(Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", section 3.4); a closer pair is missed less often.
"""

import math
import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from rensa import RMinHash, RMinHashLSH  # pyright: ignore[reportAttributeAccessIssue]  (compiled, untyped)

_MOST_PERMUTATIONS = 256
_MISSED = 1e-4
_SEED = 7203

# Chinese and Japanese are written without spaces: each character counts as a word.
_IDEOGRAPH = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(f"[{_IDEOGRAPH}]|[^\\W{_IDEOGRAPH}]+")


def shingles(text: str, n: int = 3) -> frozenset[int]:
    """64-bit hashes of the word n-grams of a text, case folded, punctuation ignored.

    A text of fewer than `n` words gives one gram of the words it has; a text without words gives one of
    itself. The set is never empty, and equal texts have equal sets in every process.
    """
    words = _WORD.findall(text.casefold()) or [text.strip()]
    grams = (words[start : start + n] for start in range(max(1, len(words) - n + 1)))
    return frozenset(_hash(" ".join(gram)) for gram in grams)


def jaccard(a: frozenset[int], b: frozenset[int]) -> float:
    """Shared members over all members, from 0 to 1; 0 if both are empty."""
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared) if shared else 0.0


def near_duplicates(
    texts: Sequence[str], threshold: float, against: Sequence[str] | None = None
) -> list[tuple[int, int, float]]:
    """Pairs of texts whose Jaccard similarity is at least `threshold` (0 to 1), sorted.

    Args:
        against: where given, pairs are (index in `texts`, index in `against`, similarity); otherwise
            (i, j, similarity) with i < j, both in `texts`.

    Texts that share no gram are never a pair, even at a threshold of 0.
    """
    bands, rows = _layout(threshold)
    index = RMinHashLSH(threshold, bands * rows, bands)
    sets, sketches = _sketch(texts, bands * rows)
    if against is None:
        return sorted(_pairs_within(index, sets, sketches, threshold))
    others, other_sketches = _sketch(against, bands * rows)
    index.insert_pairs(list(enumerate(other_sketches)))
    return sorted(
        (i, j, similarity)
        for i, sketch in enumerate(sketches)
        for j in index.query(sketch)
        if (similarity := _decide(sets[i], others[j], threshold))
    )


def _pairs_within(
    index: RMinHashLSH, sets: list[frozenset[int]], sketches: list[RMinHash], threshold: float
) -> Iterator[tuple[int, int, float]]:
    for later, sketch in enumerate(sketches):
        for earlier in index.query(sketch):
            if similarity := _decide(sets[earlier], sets[later], threshold):
                yield earlier, later, similarity
        index.insert(later, sketch)


def _sketch(texts: Sequence[str], permutations: int) -> tuple[list[frozenset[int]], list[RMinHash]]:
    sets = [shingles(text) for text in texts]
    tokens = [[gram.to_bytes(8, "big") for gram in grams] for grams in sets]
    return sets, RMinHash.from_token_sets(tokens, permutations, _SEED)


def _layout(threshold: float) -> tuple[int, int]:
    """Bands, and rows a band: as many rows (fewer proposals) as still miss few enough pairs."""
    for rows in range(16, 1, -1):
        proposed = max(threshold, 0.01) ** rows  # of a pair exactly at the threshold, by one band
        bands = 1 if proposed >= 1 else math.ceil(math.log(_MISSED) / math.log1p(-proposed))
        if bands * rows <= _MOST_PERMUTATIONS:
            return bands, rows
    return _MOST_PERMUTATIONS, 1


def _decide(a: frozenset[int], b: frozenset[int], threshold: float) -> float:
    """The similarity, or 0 where it is below the threshold."""
    if min(len(a), len(b)) < threshold * max(len(a), len(b)) - 1e-9:
        return 0.0  # sizes alone rule it out: most proposals end here
    similarity = jaccard(a, b)
    return similarity if similarity >= threshold else 0.0


def _hash(gram: str) -> int:
    # Lone surrogates can come out of escaped JSON and have no UTF-8.
    return int.from_bytes(blake2b(gram.encode(errors="surrogatepass"), digest_size=8).digest(), "big")
