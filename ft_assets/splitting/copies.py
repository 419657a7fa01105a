"""What counts as a copy. The ledger and the contamination search ask the same questions, so a split that
the ledger dealt does not fail the search.

Near-copies are pairs of whole texts by Jaccard similarity of word 3-grams (`curation.near_duplicates`).
This module finds what that measure misses: a question embedded in a longer text, and a long answer given again.
Embedding is judged by hashed 13-grams of words, as in Brown et al. 2020 (arXiv 2005.14165, appendix C).
"""

import numpy as np
import numpy.typing as npt

from ft_assets.curation.hashes import Array64, Hashes, among
from ft_assets.curation.near_duplicates import Ints, Pairs, count_pairs, overlaps
from ft_assets.splitting.passages import STRETCH, Words

PHRASE = 5
"""Words of a phrase. A phrase that many rows share is boilerplate, such as a fixed instruction."""

EMBEDDED = 1 / 3
"""Share of a question's own 13-grams that a text must hold: half of a question is a leak, an idiom is not."""

CONTAINED = 0.9
"""Share of all of a question's 13-grams that is a leak whatever they are made of."""


def common_phrases(texts: Hashes, groups: Ints, more_than: float) -> Array64:
    """Phrases, sorted, that are found in over `more_than` groups of texts.

    Texts that are copies of one another belong in one group: else a row repeated often enough would count as
    boilerplate, and its copies would not be seen.

    Args:
        texts: words of each text.
        groups: the group of each text, from 0.
    """
    phrases = texts.grams(PHRASE)
    order = np.argsort(groups[phrases.owners], kind="stable")
    sizes = np.bincount(groups[phrases.owners], minlength=int(groups.max(initial=-1)) + 1)
    by_group = Hashes(phrases.values[order], np.concatenate([[0], np.cumsum(sizes)])).distinct()
    found, counts = np.unique(by_group.values, return_counts=True)
    return found[counts > more_than]


def embedded_questions(left: Words, right: Words, common: Array64) -> Pairs:
    """Pairs where the right text holds at least a third of the left question's 13-grams, boilerplate aside; or
    nine in ten with it, since a question that is repeated in many texts looks like boilerplate.

    A question with fewer than 13 words in a row has none, and is never found here.
    """
    parts = (
        _embedded(left.questions, right.stretches, common, EMBEDDED),
        _contained(left.questions, right.stretches),
    )
    pairs = Pairs(*(np.concatenate(columns) for columns in zip(*map(_columns, parts), strict=True)))
    _, first = np.unique(np.stack([pairs.left, pairs.right]), axis=1, return_index=True)
    return Pairs(pairs.left[first], pairs.right[first], pairs.similarity[first])


def repeated_answers(left: Words, right: Words, common: Array64) -> Pairs:
    """Pairs where the right text holds the whole left answer of at least 13 words, boilerplate aside.

    Short answers such as "Return the length." are given to many questions, and say nothing.
    """
    return _embedded(left.answers, right.stretches, common, 1.0)


def equal_rows(left: Hashes, right: Hashes) -> tuple[Ints, Ints]:
    """Every pair of a left and a right row that hold the same values in the same order."""
    return equal_values(_digest(left), _digest(right))


def equal_values(left: Array64, right: Array64) -> tuple[Ints, Ints]:
    """Every pair of a left and a right place that hold the same value."""
    order = np.argsort(right, kind="stable")
    starts = np.searchsorted(right, left, side="left", sorter=order)
    counts = np.searchsorted(right, left, side="right", sorter=order) - starts
    first = np.repeat(np.arange(len(left)), counts)
    ramp = np.arange(len(first)) - np.repeat(np.cumsum(counts) - counts, counts)
    return first, order[np.repeat(starts, counts) + ramp]


def _embedded(parts: Hashes, stretches: Hashes, common: Array64, at_least: float) -> Pairs:
    own = _own_grams(parts, common)
    seen = stretches.among(np.unique(own.values)).distinct()
    first, second = equal_values(own.values, seen.values)
    i, j, shared = count_pairs(own.owners[first], seen.owners[second])
    share = shared / own.lengths[i]
    good = share >= at_least
    return Pairs(i[good], j[good], share[good])


def _contained(parts: Hashes, stretches: Hashes) -> Pairs:
    """Pairs where the text holds nearly all of the part's 13-grams.

    To hold so many it must hold one of the part's few rarest, so only texts that hold one of those are looked at.
    """
    long = np.flatnonzero(parts.lengths >= STRETCH)
    grams = parts.rows_at(long).grams(STRETCH).distinct()
    seen = stretches.among(np.unique(grams.values)).distinct()
    known, counts = np.unique(seen.values, return_counts=True)
    at = np.minimum(np.searchsorted(known, grams.values), max(0, len(known) - 1))
    times = np.where(known[at] == grams.values, counts[at], 0) if len(known) else np.zeros(len(grams.values))
    needed = np.ceil(CONTAINED * grams.lengths).astype(np.int64)
    order = np.lexsort((times, grams.owners))
    rare = order[_places(grams) <= (grams.lengths - needed)[grams.owners]]
    first, second = equal_values(grams.values[rare], seen.values)
    i, j, _ = count_pairs(grams.owners[rare][first], seen.owners[second])
    shared = overlaps(Hashes.join([grams, seen]), i, j + grams.rows)
    good = shared >= needed[i]
    return Pairs(long[i[good]], j[good], (shared / grams.lengths[i])[good])


def _columns(pairs: Pairs) -> tuple[Ints, Ints, npt.NDArray[np.float64]]:
    return pairs.left, pairs.right, pairs.similarity


def _own_grams(words: Hashes, common: Array64) -> Hashes:
    """The set of each row's 13-grams that lie in a stretch that no common phrase covers."""
    grams = words.grams(STRETCH)
    long = words.lengths >= STRETCH
    if not long.any():
        return Hashes(np.zeros(0, np.uint64), np.zeros(words.rows + 1, np.int64))
    covered = np.concatenate([[0], np.cumsum(_covered(words, common))])
    starts = words.offsets[:-1][grams.owners] + _places(grams)
    ends = np.minimum(starts + STRETCH, len(words.values))
    free = (covered[ends] == covered[starts]) & long[grams.owners]
    return grams.take(free).distinct()


def _covered(words: Hashes, common: Array64) -> npt.NDArray[np.bool_]:
    """Which words a common phrase covers."""
    phrases = words.grams(PHRASE)
    whole = (words.lengths >= PHRASE)[phrases.owners]
    starts = (words.offsets[:-1][phrases.owners] + _places(phrases))[among(phrases.values, common) & whole]
    covered = np.zeros(len(words.values), bool)
    for step in range(PHRASE):
        covered[starts + step] = True
    return covered


def _places(rows: Hashes) -> Ints:
    """The place of each value in its row, from 0."""
    return np.arange(len(rows.values)) - rows.offsets[:-1][rows.owners]


def _digest(rows: Hashes) -> Array64:
    """One value for a whole row: equal for rows that hold the same values in the same order."""
    places = (_places(rows).astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) | np.uint64(1)
    weighted = np.append(rows.values * places, np.uint64(0))
    sums = np.add.reduceat(weighted, rows.offsets[:-1]) if rows.rows else weighted[:0]
    return np.where(rows.lengths > 0, sums, np.uint64(0)) + rows.lengths.astype(np.uint64)
