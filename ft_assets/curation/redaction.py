"""Personal data and secrets become typed placeholders; the same value is the same placeholder in all of a row.

Every text is screened first: what has no digits cannot hold a card number. Only recognisers that could find
something are asked, which is none for most texts. docs/pii.md says what is found and how well.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from ft_assets.curation.pii.identifiers import IDENTIFIERS
from ft_assets.curation.pii.names import NamesModel
from ft_assets.curation.pii.recogniser import Recogniser
from ft_assets.curation.pii.secrets import SECRETS
from ft_assets.curation.pii.view import View

# In this order: where two finds overlap, the one further up counts.
RECOGNISERS: tuple[Recogniser, ...] = (*SECRETS, *IDENTIFIERS)

_PLACEHOLDER = re.compile(r"<[A-Z]+(?:_[A-Z]+)*_\d+>")
# A placeholder in place of a value can bring the next value nearer to the word that says what it is, so a text is
# searched again until nothing is found. Real texts need two passes; the limit is for texts made to need many.
_MAX_PASSES = 8
Found = tuple[int, int, str]
"""Start, end and type of a value in a text."""


def redact(text: str) -> tuple[str, dict[str, int]]:
    """The text with placeholders such as `<EMAIL_1>`, and how many of each type were put in."""
    redactor = Redactor()
    return redactor.text(text), dict(redactor.counts)


def find(text: str, names: NamesModel | None = None, screened: bool = True) -> list[Found]:
    """What is replaced in the text, in order of place: no find over another or over a placeholder.

    Args:
        names: finds names of people; None: names stay.
        screened: False asks every recogniser about every text, which finds the same and takes far longer.
    """
    view = View(text)
    asked = [each for each in RECOGNISERS if not screened or each.may_match(view)]
    candidates = [(*view.span(*span), each.type) for each in asked for span in each.spans(view)]
    if names:
        candidates += [(*span, "PERSON") for span in names.spans(text)]
    if not candidates:
        return []
    return _without_overlaps(candidates, [match.span() for match in _PLACEHOLDER.finditer(text)])


class Redactor:
    """Redacts the texts of one row, so that a person who is named twice stays one person.

    Args:
        names: finds names of people, which become `<PERSON_1>`; None: names stay.
        screened: as of `find`.

    Attributes:
        counts: replacements by type, such as EMAIL, PHONE, CARD or SECRET.
    """

    def __init__(self, names: NamesModel | None = None, screened: bool = True) -> None:
        self.counts: Counter[str] = Counter()
        self._names = names
        self._screened = screened
        self._placeholders: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()
        self._last: Counter[str] = Counter()

    def text(self, text: str) -> str:
        """The text with its personal data and secrets replaced. A text that comes from here stays as it is."""
        return self._redact("", text)

    def json(self, text: str) -> str:
        """JSON text with every string and number in it redacted; it stays JSON. Other text is redacted as text.

        The key of a value is the word before it: the number in `{"phone": 4155550132}` is one.
        """
        before = self.counts.total()
        try:
            redacted = json.dumps(self._value("", json.loads(text)), separators=(",", ":"))
        except (ValueError, RecursionError):
            return self.text(text)
        return text if self.counts.total() == before else redacted

    def _value(self, key: str, value: Any) -> Any:
        match value:
            case dict():
                return {self.text(name): self._value(name, item) for name, item in value.items()}
            case list():
                return [self._value(key, item) for item in value]
            case str() if value.lstrip().startswith(("{", "[")):  # arguments of a call are JSON within JSON
                return self.json(value)
            case str():
                return self._redact(f"{key}: ", value)
            case int() | float() if not isinstance(value, bool):
                redacted = self._redact(f"{key}: ", str(value))
                return value if redacted == str(value) else redacted
        return value

    def _redact(self, lead: str, text: str) -> str:
        """The text as it reads after `lead`, which stays outside."""
        self._taken.update(_PLACEHOLDER.findall(text) if "<" in text else ())
        for turn in range(_MAX_PASSES):
            found = find(lead + text, self._names if turn == 0 else None, self._screened)
            inside = [(start - len(lead), end - len(lead), type) for start, end, type in found]
            inside = [find for find in inside if find[0] >= 0]
            if not inside:
                break
            text = self._replace(text, inside)
        return text

    def _replace(self, text: str, found: Iterable[Found]) -> str:
        pieces, done = [], 0
        for start, end, type in found:
            pieces += [text[done:start], self._placeholder(type, text[start:end])]
            done = end
        return "".join([*pieces, text[done:]])

    def _placeholder(self, type: str, value: str) -> str:
        self.counts[type] += 1
        identity = (type, _canonical(type, View(value).text))
        if identity not in self._placeholders:
            self._placeholders[identity] = self._new_placeholder(type)
        return self._placeholders[identity]

    def _new_placeholder(self, type: str) -> str:
        """The next one that no text so far had in it, as a row may have been redacted before."""
        while True:
            self._last[type] += 1
            placeholder = f"<{type}_{self._last[type]}>"
            if placeholder not in self._taken:
                return placeholder


def _without_overlaps(candidates: Iterable[Found], blocked: Iterable[tuple[int, int]]) -> list[Found]:
    """Of finds that overlap, the first; in order of their place.

    Characters are marked rather than finds compared, as a long text may have very many of both.
    """
    taken = {position for span in blocked for position in range(*span)}
    kept = []
    for find in candidates:
        positions = range(*find[:2])
        if taken.isdisjoint(positions):
            taken.update(positions)
            kept.append(find)
    return sorted(kept)


def _canonical(type: str, value: str) -> str:
    """One spelling for values that differ only in writing."""
    match type:
        case "SECRET":
            return value
        case "EMAIL" | "IP" | "PERSON":
            return value.casefold()
    return re.sub(r"[\W_]", "", value).casefold()
