"""Copies in which so many words were changed that few 3-grams are left, in the order of the original.

Pairs are proposed by rare 3-grams that both hold, and decided by the longest common subsequence of words. Boilerplate
proposes nothing: a gram that many texts hold is not rare.
"""

import numpy as np

from ft_assets.curation.hashes import Array64, Hashes
from ft_assets.curation.near_duplicates import Ints, Pairs, count_pairs
from ft_assets.splitting.copies import equal_values
from ft_assets.splitting.passages import Words

KEPT = 0.65
"""Share of the longer text's words that a copy keeps in their order; unrelated prose keeps about a quarter."""

_ANCHORS = 3
"""Rare 3-grams that both texts must hold. Of a text with 30 % of its words changed about a third is left."""


def edited_copies(left: Words, right: Words, rare: int) -> Pairs:
    """Pairs of texts that keep at least `KEPT` of their words in order.

    Args:
        rare: unlike texts, of both sides together, that may hold a 3-gram that proposes pairs.
    """
    seen = right.grams.among(np.unique(left.grams.values))
    grams, holders = _holders(left, right, seen)
    anchors = left.grams.take(holders[np.searchsorted(grams, left.grams.values)] <= rare)
    seen = seen.among(np.unique(anchors.values))
    first, second = equal_values(anchors.values, seen.values)
    i, j, shared = count_pairs(anchors.owners[first], seen.owners[second])
    i, j = i[shared >= _ANCHORS], j[shared >= _ANCHORS]
    sizes = left.texts.lengths[i], right.texts.lengths[j]
    alike = np.minimum(*sizes) >= KEPT * np.maximum(*sizes)
    i, j = i[alike], j[alike]
    kept = np.array([_kept(left.texts, a, right.texts, b) for a, b in zip(i, j, strict=True)], np.float64)
    return Pairs(i[kept >= KEPT], j[kept >= KEPT], kept[kept >= KEPT])


def _holders(left: Words, right: Words, seen: Hashes) -> tuple[Array64, Ints]:
    """The 3-grams of the left texts, sorted, and how many texts hold each; equal texts count once.

    Both sides are counted, as the ledger knows both: what is boilerplate to it must not look rare to the search.
    """
    sets, digests = left.grams, left.grams.set_digests()
    if right is not left:
        sets = Hashes.join([sets, seen])
        digests = np.concatenate([digests, right.grams.set_digests()])
    _, single = np.unique(digests, return_index=True)
    return np.unique(sets.rows_at(single).values, return_counts=True)


def _kept(left: Hashes, i: int, right: Hashes, j: int) -> float:
    from rapidfuzz.distance import LCSseq

    return LCSseq.normalized_similarity(left.row(i).tolist(), right.row(j).tolist(), score_cutoff=KEPT)
