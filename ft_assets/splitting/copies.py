"""What counts as a copy. The ledger and the contamination search ask the same questions, so a split that
the ledger dealt does not fail the search.

Near-copies are pairs of whole texts by Jaccard similarity of word 3-grams (`curation.near_duplicates`).
This module finds what that measure misses: the same question with another answer, a question embedded in a
longer text, and a long answer given again. Embedding is judged by hashed 13-grams of words, as in
Brown et al. 2020 (arXiv 2005.14165, appendix C).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from ft_assets.splitting.passages import Passage, plain, split_words

GRAM = 13
"""Words in a row that hardly ever meet by chance."""

PHRASE = 5
"""Words of a phrase. A phrase that many rows share is boilerplate, such as a fixed instruction."""

EMBEDDED = 1 / 3
"""Share of a question's own 13-grams that a text must hold: half of a question is a leak, an idiom is not."""

Gram = tuple[str, ...]
Pair = tuple[int, int, float]
"""Index on the left, index on the right, similarity from 0 to 1."""


def same(
    left: Sequence[Passage], right: Sequence[Passage], part: Callable[[Passage], str]
) -> Iterator[tuple[int, int]]:
    """Pairs whose `part` is equal but for case and white space."""
    index: defaultdict[str, list[int]] = defaultdict(list)
    for j, passage in enumerate(right):
        index[plain(part(passage))].append(j)
    for i, passage in enumerate(left):
        yield from ((i, j) for j in index.get(plain(part(passage)), ()))


def common_phrases(groups: Iterable[Iterable[Passage]], more_than: float) -> set[Gram]:
    """Phrases found in over `more_than` groups of passages.

    Passages that are copies of one another belong in one group: else a row repeated often enough would
    count as boilerplate, and its copies would not be seen.
    """
    counts: Counter[Gram] = Counter()
    for group in groups:
        counts.update({gram for passage in group for gram in _grams(passage.words, PHRASE)})
    return {gram for gram, count in counts.items() if count > more_than}


def embedded_questions(
    left: Sequence[Passage], right: Sequence[Passage], common: Collection[Gram]
) -> list[Pair]:
    """Pairs where the right text holds at least a third of the left question's 13-grams, boilerplate aside.

    A question with fewer than 13 words in a row of its own has none, and is never found here.
    """
    return _embedded([passage.question for passage in left], right, common, EMBEDDED)


def repeated_answers(
    left: Sequence[Passage], right: Sequence[Passage], common: Collection[Gram]
) -> list[Pair]:
    """Pairs where the right text holds the whole left answer of at least 13 words, boilerplate aside.

    Short answers such as "Return the length." are given to many questions, and say nothing.
    """
    return _embedded([passage.answer for passage in left], right, common, 1.0)


def _embedded(
    parts: Sequence[str], right: Sequence[Passage], common: Collection[Gram], at_least: float
) -> list[Pair]:
    owners: defaultdict[Gram, list[int]] = defaultdict(list)
    sizes = []
    for i, part in enumerate(parts):
        grams = {gram for piece in _own_words(split_words(part), common) for gram in _grams(piece, GRAM)}
        sizes.append(len(grams))
        for gram in grams:
            owners[gram].append(i)
    pairs = []
    for j, passage in enumerate(right):
        shared = Counter(i for gram in owners.keys() & set(_grams(passage.words, GRAM)) for i in owners[gram])
        pairs += [(i, j, n / sizes[i]) for i, n in shared.items() if n >= at_least * sizes[i]]
    return sorted(pairs)


def _own_words(words: Sequence[str], common: Collection[Gram]) -> Iterator[Sequence[str]]:
    """The stretches of a text that no common phrase covers."""
    covered = bytearray(len(words))
    for start, gram in enumerate(_grams(words, PHRASE)):
        if gram in common:
            covered[start : start + PHRASE] = b"\1" * PHRASE
    start = 0
    for end in [*(i for i, mark in enumerate(covered) if mark), len(words)]:
        if end > start:
            yield words[start:end]
        start = end + 1


def _grams(words: Sequence[str], size: int) -> Iterator[Gram]:
    return zip(*(words[start:] for start in range(size)), strict=False)
