"""One kind of personal data: what finds it, what makes a find certain enough, and what a text must have to be asked.

A checksum of one digit lets one number in ten pass, so a find counts only where its form is its own (`alone`) or
a word before it says what it is (`words`); order numbers, timestamps and hashes have neither. The same two things
are what the screen looks for, so that it spares clean texts the recognisers and never hides a find from them.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from ft_assets.curation.pii.view import View

Spans = Iterable[tuple[int, int]]
Find = Callable[[str], Spans]
"""Text to the places (start, end) of what may be values in it."""

_CONTEXT_CHARS = 40
_GLUED_BEFORE = re.compile(r"[A-Za-z0-9_]|(?<=[A-Za-z0-9])[./-]")
_GLUED_AFTER = re.compile(r"[A-Za-z0-9_]|\.\d|-[A-Za-z0-9]")
_LINE_ENDS = re.compile(r"[\n;]")


@dataclass(frozen=True)
class Recogniser:
    """What finds one type of value.

    Attributes:
        type: what its placeholders are called: `EMAIL` for `<EMAIL_1>`.
        find: the places that may hold one.
        alone: form of a value, from its start, that needs no word before it; None: every value needs one.
        words: what says, within the 40 characters before a value and on its line, that it is one. Lower case; a
            word of up to four letters must end there (`tel`, not `tell`), a longer one may go on.
        never: text before a value that says it is none.
        accept: a last look at a value.
        loose: a value may be part of a longer word, as its own pattern says where it ends.
        digits: fewest ASCII digits of a value.
        cues: one of these must be in a text, in lower case, that has a value which stands alone.
        form: the same of a pattern; None: any text may have one.
    """

    type: str
    find: Find
    alone: re.Pattern[str] | None = None
    words: tuple[str, ...] = ()
    never: re.Pattern[str] | None = None
    accept: Callable[[str], bool] | None = None
    loose: bool = False
    digits: int = 0
    cues: tuple[str, ...] = ()
    form: re.Pattern[str] | None = None

    def may_match(self, view: View) -> bool:
        """The screen: False only where `spans` has nothing to find."""
        if view.digits < self.digits:
            return False
        if self.alone and self._may_stand_alone(view):
            return True
        return _has_one(self.words, view.lower)

    def spans(self, view: View) -> Iterator[tuple[int, int]]:
        """Places of values in `view.text`."""
        for start, end in self.find(view.text):
            if self._is_value(view, start, end):
                yield start, end

    def _may_stand_alone(self, view: View) -> bool:
        if self.cues and not _has_one(self.cues, view.lower):
            return False
        return not self.form or self.form.search(view.text) is not None

    def _is_value(self, view: View, start: int, end: int) -> bool:
        value = view.text[start:end]
        before = view.text[max(0, start - _CONTEXT_CHARS) : start]
        if _digits(value) < self.digits or (self.accept and not self.accept(value)):
            return False
        if self.never and self.never.search(before):
            return False
        if self._named and self._named.search(_same_line(before.lower())):
            return self.loose or not _GLUED_AFTER.match(view.text, end)
        alone = self.alone and self.alone.match(value)
        return bool(alone) and (self.loose or not _is_glued(view.text, start, end))

    @cached_property
    def _named(self) -> re.Pattern[str] | None:
        if not self.words:
            return None
        ends = [re.escape(word) + (_WORD_ENDS if len(word) < 5 else "") for word in self.words]
        return re.compile(rf"(?<![a-z])(?:{'|'.join(ends)})")


_WORD_ENDS = r"(?:s|number|num|no|nr|id)?(?![a-z])"


def _has_one(words: tuple[str, ...], text: str) -> bool:
    # A loop, as this runs for every text and `any` over a generator takes three times as long.
    for word in words:  # noqa: SIM110
        if word in text:
            return True
    return False


def _digits(value: str) -> int:
    return sum("0" <= letter <= "9" for letter in value)


def _same_line(before: str) -> str:
    return _LINE_ENDS.split(before)[-1]


def _is_glued(text: str, start: int, end: int) -> bool:
    """Whether a number goes on: the tail of a UUID, the decimals of a float, a part of an identifier."""
    before = _GLUED_BEFORE.match(text, start - 1) if start else None
    return bool(before or _GLUED_AFTER.match(text, end))
