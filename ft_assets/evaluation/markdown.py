"""Markdown around texts that others wrote: whatever stands in them is shown, and never read as markup."""

import re
from collections.abc import Iterable, Sequence

_CELL_CHARS = 240
_LINE_CHARS = 2_000
# An underscore within a word is no markup, and names are easier to read without its entity.
_ACTIVE = re.compile(r"[&<>|`*\[\]\\~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")

_INDENT = re.compile(r"^ +")


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table of texts, each cut to what a cell can hold."""
    return "\n".join([_row(heads), _row(["---"] * len(heads)), *map(_row, lines)])


def bullets(lines: Iterable[str]) -> str:
    """A list of sentences."""
    return "\n".join(f"- {plain(line)}" for line in lines)


def plain(text: str, most: int = _LINE_CHARS) -> str:
    """Text on one line that cannot be read as markup; longer than `most` characters it is cut."""
    return _safe(" ".join(shorten(text, most).splitlines()))


def shorten(text: str, most: int) -> str:
    """The beginning of a long text."""
    return text if len(text) <= most else f"{text[:most]} …"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(text: str) -> str:
    """A text whose line breaks and indents are kept."""
    lines = shorten(text, _CELL_CHARS).splitlines()
    return "<br>".join(
        _safe(_INDENT.sub(lambda found: "\N{NO-BREAK SPACE}" * len(found[0]), line)) for line in lines
    )


def _safe(text: str) -> str:
    return _ACTIVE.sub(lambda found: f"&#{ord(found[0])};", text)
