"""Generated rows with planted copies, the same for the same seed, and what brute force says about them.

A row is about 60 words: a sentence of one of 200 templates and words of its own, drawn as words of a language are (few
often, most hardly ever). One row in ten is an exact copy of another, one in ten a copy with up to six words replaced.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from ft_assets.sources.example import Example, Message

Ints = npt.NDArray[np.int64]

_TEMPLATES = 200
_TEMPLATE_WORDS = 18
_OWN_WORDS = (36, 50)
_VOCABULARY = 50_000
_ZIPF = 1.05
_MOST_EDITS = 6
_COPIES = 0.1
_CONSONANTS = "bcdfghjklmnprstvwz"
_VOWELS = "aeiou"
_CREATED = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Rows:
    """Texts, and for each the index of the text that it was copied from, or -1."""

    texts: list[str]
    origins: Ints

    def sample(self, count: int, seed: int = 0) -> "Rows":
        """About `count` rows in their order, originals always with all of their copies."""
        originals = np.flatnonzero(self.origins < 0)
        share = min(1.0, count / len(self.texts))
        chosen = np.zeros(len(self.texts), bool)
        chosen[np.random.default_rng(seed).permutation(originals)[: round(share * len(originals))]] = True
        chosen |= (self.origins >= 0) & chosen[self.origins]
        places = np.cumsum(chosen) - 1
        origins = np.where(self.origins < 0, -1, places[self.origins])
        return Rows([self.texts[row] for row in np.flatnonzero(chosen)], origins[chosen])


def make_rows(count: int, seed: int = 3) -> Rows:
    """`count` rows: words of lower case parted by single spaces, so that `str.split` is a fair tokeniser."""
    draw = np.random.default_rng(seed)
    words = np.array(_make_words(draw), object)
    originals = _originals(draw, count - 2 * round(_COPIES * count))
    exact = draw.integers(0, len(originals), round(_COPIES * count))
    near = draw.permutation(len(originals))[: round(_COPIES * count)]
    edited = _edited(draw, [originals[row] for row in near])
    coded = [*originals, *(originals[row] for row in exact), *edited]
    origins = np.concatenate([np.full(len(originals), -1), exact, near])
    order = draw.permutation(count)
    places = np.argsort(order)
    return Rows(
        [" ".join(words[coded[row]]) for row in order],
        np.where(origins < 0, -1, places[origins])[order],
    )


def similar_by_brute_force(texts: list[str], threshold: float) -> dict[tuple[int, int], float]:
    """Jaccard similarity of word 3-grams of every pair (earlier, later) that reaches the threshold.

    Independent of ours: sets of strings, and every pair that shares a gram is counted in full.
    """
    sizes: list[int] = []
    holders: defaultdict[str, list[int]] = defaultdict(list)
    found: dict[tuple[int, int], float] = {}
    for later, text in enumerate(texts):
        grams = word_grams(text)
        shared = Counter(earlier for gram in grams for earlier in holders[gram])
        for earlier, common in shared.items():
            similarity = common / (len(grams) + sizes[earlier] - common)
            if similarity >= threshold:
                found[earlier, later] = similarity
        for gram in grams:
            holders[gram].append(later)
        sizes.append(len(grams))
    return found


def word_grams(text: str) -> set[str]:
    """The word 3-grams of a generated text."""
    words = text.split()
    return {f"{a} {b} {c}" for a, b, c in zip(words, words[1:], words[2:], strict=False)}


def _make_words(draw: np.random.Generator) -> list[str]:
    """Made-up words of two to four syllables, no two alike."""
    syllables = np.array([consonant + vowel for consonant in _CONSONANTS for vowel in _VOWELS])
    drawn = draw.integers(0, len(syllables), (2 * _VOCABULARY, 4))
    lengths = draw.integers(2, 4, 2 * _VOCABULARY, endpoint=True)
    made = ("".join(row[:length]) for row, length in zip(syllables[drawn], lengths, strict=True))
    return list(dict.fromkeys(made))[:_VOCABULARY]


def _originals(draw: np.random.Generator, count: int) -> list[Ints]:
    templates = _words(draw, _TEMPLATES * _TEMPLATE_WORDS).reshape(_TEMPLATES, _TEMPLATE_WORDS)
    lengths = draw.integers(*_OWN_WORDS, size=count, endpoint=True)
    own = np.split(_words(draw, int(lengths.sum())), np.cumsum(lengths)[:-1])
    chosen = draw.integers(0, _TEMPLATES, count)
    return [np.concatenate([templates[number], words]) for number, words in zip(chosen, own, strict=True)]


def _edited(draw: np.random.Generator, rows: list[Ints]) -> list[Ints]:
    places = draw.random((len(rows), _MOST_EDITS))
    words = _words(draw, places.size).reshape(places.shape)
    edited = []
    for row, where, what, edits in zip(
        rows, places, words, draw.integers(1, _MOST_EDITS, len(rows), endpoint=True), strict=True
    ):
        copy = row.copy()
        copy[(where[:edits] * len(row)).astype(np.int64)] = what[:edits]
        edited.append(copy)
    return edited


def _words(draw: np.random.Generator, count: int) -> Ints:
    """Numbers of words, by Zipf's law: the word at place n is drawn n ** -1.05 as often as the first."""
    weights = np.cumsum(np.arange(1, _VOCABULARY + 1) ** -_ZIPF)
    return np.searchsorted(weights / weights[-1], draw.random(count))


def as_example(text: str, asked_too: str = "") -> Example:
    """A row whose prompt is the first half of the text, and what is `asked_too`, and whose answer is the other half."""
    words = text.split()
    prompt, answer = " ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])
    return chat(f"{prompt} {asked_too}".strip(), answer)


def chat(*turns: str) -> Example:
    """An example of turns that the user and the assistant take one after the other."""
    roles = ("user", "assistant")
    messages = tuple(Message(role=roles[place % 2], content=turn) for place, turn in enumerate(turns))
    return Example(messages=messages, source="generated", license="CC0-1.0", created_at=_CREATED)
