"""Ways in which a row that judges can come back among the rows that train."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from benchmarks.curation_rows import chat
from ft_assets.sources.example import Example, Message

Copy = Callable[[Example, Example, Random], Example]
"""From the row, and another that has nothing to do with it, to the copy."""

_LOOK_ALIKES = str.maketrans("aceopxyABEHKMTiu", "асеорхуАВЕНКМТіυ")  # Cyrillic, the last one Greek
_FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_MARKS = "\u0301\u0308\u0331"
_SPACES = ["\n", "\t", "  ", "\u00a0", " \n\n ", "\u3000"]
_UNSEEN = "\u200b\u200d\u2060\u00ad\ufeff"


@dataclass(frozen=True)
class Edit:
    """A share of the words (what white space parts) replaced, left out, or followed by another."""

    kind: str
    share: float

    def __call__(self, row: Example, other: Example, random: Random) -> Example:
        return _texts(row, lambda text: self._edit(text, random))

    def _edit(self, text: str, random: Random) -> str:
        words = text.split()
        for place in sorted(
            random.sample(range(len(words)), _count(self.share * len(words), random)), reverse=True
        ):
            new = [f"w{random.randrange(10**6)}"]
            words[place : place + 1] = {"substituted": new, "deleted": [], "inserted": [words[place], *new]}[
                self.kind
            ]
        return " ".join(words)


def exact(row: Example, other: Example, random: Random) -> Example:
    return row


def upper_case(row: Example, other: Example, random: Random) -> Example:
    return _texts(row, str.upper)


def full_width(row: Example, other: Example, random: Random) -> Example:
    return _texts(row, lambda text: text.translate(_FULL_WIDTH))


def look_alikes(row: Example, other: Example, random: Random) -> Example:
    return _texts(row, lambda text: text.translate(_LOOK_ALIKES))


def zero_width(row: Example, other: Example, random: Random) -> Example:
    """Characters that nobody sees inside every third word or so."""
    return _texts(row, lambda text: _inside_words(text, _UNSEEN, random))


def combining_marks(row: Example, other: Example, random: Random) -> Example:
    return _texts(row, lambda text: _inside_words(text, _MARKS, random))


def decomposed(row: Example, other: Example, random: Random) -> Example:
    """Unicode's form NFD, where an accent is a character of its own."""
    return _texts(row, lambda text: unicodedata.normalize("NFD", text))


def white_space(row: Example, other: Example, random: Random) -> Example:
    return _texts(row, lambda text: "".join(word + random.choice(_SPACES) for word in text.split()))


def reordered_turns(row: Example, other: Example, random: Random) -> Example:
    """The exchanges before the last in another order, after it."""
    *before, last, answer = (turn.content for turn in row.messages)
    return chat(last, answer, *before)


def another_answer(row: Example, other: Example, random: Random) -> Example:
    return row.model_copy(update={"messages": (*row.messages[:-1], other.messages[-1])})


def answer_only(row: Example, other: Example, random: Random) -> Example:
    return row.model_copy(update={"messages": (*other.messages[:-1], row.messages[-1])})


def embedded_question(row: Example, other: Example, random: Random) -> Example:
    words = other.prompt.split()
    middle = len(words) // 2
    return chat(" ".join([*words[:middle], row.prompt, *words[middle:]]), other.answer)


DISGUISES: dict[str, Copy] = {
    "exact": exact,
    **{f"substituted_{percent}%": Edit("substituted", percent / 100) for percent in (1, 5, 10, 15, 20, 25, 30)},
    **{f"{kind}_{percent}%": Edit(kind, percent / 100) for kind in ("deleted", "inserted") for percent in (10, 20, 30)},
    **{
        copy.__name__: copy
        for copy in (
            upper_case,
            full_width,
            look_alikes,
            zero_width,
            combining_marks,
            decomposed,
            white_space,
            reordered_turns,
            another_answer,
            answer_only,
            embedded_question,
        )
    },
}  # fmt: skip


def _texts(row: Example, change: Callable[[str], str]) -> Example:
    turns = tuple(Message(role=turn.role, content=change(turn.content)) for turn in row.messages)
    return row.model_copy(update={"messages": turns})


def _inside_words(text: str, characters: str, random: Random) -> str:
    found = []
    for before, letter in zip(" " + text, text, strict=False):
        inside = before.isalnum() and letter.isalnum() and random.random() < 0.1
        found.append(random.choice(characters) + letter if inside else letter)
    return "".join(found)


def _count(expected: float, random: Random) -> int:
    """A whole number that is `expected` on average: short turns are edited too, only not each."""
    return int(expected) + (random.random() < expected % 1)
