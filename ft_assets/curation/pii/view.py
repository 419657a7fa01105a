"""Text as the recognisers read it: digits that are digits, blanks that are blanks, nothing invisible."""

import re
import sys
import unicodedata
from bisect import bisect_right

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufe00-\ufe0f\ufeff]"
)
# Scripts that are written without blanks: a letter next to a number is not part of it.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
_HYPHENS = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe63"
# Letters that a case-blind pattern takes for an ASCII one.
_CASE_TWINS = {"ſ": "s", "\u212a": "K", "ı": "i", "İ": "I"}


def _plain_characters() -> dict[int, str]:
    """Characters that stand for an ASCII one: digits of all scripts, full-width forms, blanks, hyphens."""
    plain = {ord(odd): usual for odd, usual in _CASE_TWINS.items()} | dict.fromkeys(map(ord, _HYPHENS), "-")
    for code in range(128, sys.maxunicode + 1):
        category = unicodedata.category(character := chr(code))
        if category == "Nd":
            plain[code] = str(unicodedata.digit(character))
        elif category == "Zs":
            plain[code] = " "
        elif 0xFF01 <= code <= 0xFF5E:
            plain[code] = chr(code - 0xFEE0)
    return plain


_PLAIN = _plain_characters()
# One range for all beyond the basic plane, as a class with many of them is searched ten times slower.
_BASIC = re.escape("".join(chr(code) for code in _PLAIN if code < 0x10000))
_ODD = re.compile(f"[{_BASIC}{_UNSPACED}\U00010000-\U0010ffff{_INVISIBLE.pattern[1:]}")


class View:
    """One text, read once.

    Attributes:
        text: the text without its disguises; the character at a position is what the original's looks like.
        lower: the same in lower case, where words are looked for.
        digits: how many ASCII digits are in it.
    """

    __slots__ = ("_dropped", "digits", "lower", "text")

    def __init__(self, original: str) -> None:
        self._dropped: list[int] = []
        self.text = original if original.isascii() else self._plain(original)
        self.lower = self.text.lower()
        written = self.text.encode(errors="surrogatepass")
        self.digits = len(written) - len(written.translate(None, b"0123456789"))

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where in the original the view's characters from `start` to `end` are."""
        if not self._dropped:
            return start, end
        return self._position(start), self._position(end - 1) + 1

    def _plain(self, original: str) -> str:
        text = _ODD.sub(_usual, original)
        if len(text) < len(original):
            for kept, match in enumerate(_INVISIBLE.finditer(original)):
                self._dropped.append(match.start() - kept)
        return text

    def _position(self, index: int) -> int:
        return index + bisect_right(self._dropped, index)


def _usual(odd: re.Match[str]) -> str:
    character = odd[0]
    if usual := _PLAIN.get(ord(character)):
        return usual
    if _INVISIBLE.match(character):
        return ""
    return " " if character < "\U00010000" else character
