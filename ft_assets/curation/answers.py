"""What is wrong with an answer that a model is to imitate: each function gives words for it, or None."""

import re
from collections.abc import Sequence

import numpy as np

from ft_assets.curation.language import detect
from ft_assets.curation.words import hash_words
from ft_assets.recipe_data import Curation

_NOT_AN_ANSWER = re.compile(
    r"(?:todo|fixme|xxx|tbd|tba|wip)\b.{0,80}"
    r"|(?:n/?a|none|null|nan|undocumented|obsolete|not implemented|placeholder|self[- ]explanatory)[.!]?"
    r"|(?:deprecated|lorem ipsum)(?:[.,:;!]? .{0,80})?[.!]?"
    r"|see (?:also )?(?::\w+:`|`|https?://|help\(|[\w.]+\(\)|\w+\.\w+|the (?:docs?|docstring|documentation)\b).*"
    r"|(?:>>>|\.\.\.) .*",
    re.IGNORECASE,
)
# Words that end no sentence. Prepositions are left out: people log in, and know what they look for.
_UNFINISHED = re.compile(
    r"(?:[,(\[{]|\b(?:a|an|the|and|or|of|its|their|which|while|into|than|if|as))\Z", re.IGNORECASE
)
_END = 12
"""Last characters of a text that hold any of these words and what is before it."""

_REPEATED_WORDS = 5
_FEWEST_WORDS = 20
"""Shorter answers repeat themselves by chance."""


def junk(answer: str, settings: Curation) -> str | None:
    """Placeholders, bare references and doctest prompts, which answer nothing; one line only."""
    return f"{answer!r}" if _NOT_AN_ANSWER.fullmatch(answer) else None


def too_short(answer: str, settings: Curation) -> str | None:
    """Fewer characters than `min_answer_chars`."""
    limit = settings.min_answer_chars
    return f"{len(answer)} characters, at least {limit} wanted" if len(answer) < limit else None


def too_long(answer: str, settings: Curation) -> str | None:
    """More characters than `max_answer_chars`."""
    return over(len(answer), settings.max_answer_chars)


def unfinished(answer: str, settings: Curation) -> str | None:
    """Ends where no sentence can end, as a truncated or wrapped one does; one line only."""
    if " " not in answer or "\n" in answer or not _UNFINISHED.search(answer[-_END:]):
        return None
    return f"ends with `{answer.split()[-1]}`"


def repeated_shares(texts: Sequence[str]) -> list[float]:
    """Share of each text's words that lie in word 5-grams which it holds more than once; 0 for short texts.

    A measure of Rae et al. 2021 ("Scaling Language Models", appendix A.1.1), over words in place of characters.
    """
    words = hash_words(texts)
    grams = words.grams(_REPEATED_WORDS)
    order = np.lexsort((grams.values, grams.owners))
    owners, values = grams.owners[order], grams.values[order]
    same = (owners[1:] == owners[:-1]) & (values[1:] == values[:-1])
    twice = np.zeros(len(order), bool)
    twice[1:] |= same
    twice[:-1] |= same
    again = order[twice]
    rows = grams.owners[again]
    starts = words.offsets[rows] + again - grams.offsets[rows]
    inside = np.zeros(len(words.values), bool)
    inside[starts[:, None] + np.arange(_REPEATED_WORDS)] = True
    covered = np.bincount(words.owners[inside], minlength=words.rows)
    return np.where(words.lengths < _FEWEST_WORDS, 0.0, covered / np.maximum(words.lengths, 1)).tolist()


def not_in_format(answer: str, settings: Curation) -> str | None:
    """House style is learnt from the data, so rows that break it are not shown."""
    wanted = settings.answer_format
    fits = wanted is None or re.fullmatch(wanted, answer, re.DOTALL)
    return None if fits else f"{answer[:80]!r} is not {wanted}"


def wrong_language(answer: str, settings: Curation) -> str | None:
    """In a language that `languages` does not name; what is too short or too much like code to tell is kept."""
    if settings.languages is None:
        return None
    (language,) = detect([answer])
    return f"the answer is in `{language}`" if language and language not in settings.languages else None


def over(count: int, limit: int) -> str | None:
    """Words for a length beyond its limit."""
    return f"{count} characters, at most {limit} wanted" if count > limit else None
