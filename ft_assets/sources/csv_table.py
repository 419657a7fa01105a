"""CSV and TSV, with the names of the columns in the first line."""

import csv
from collections import deque
from collections.abc import Iterator

from ft_assets.sources.lines import LONGEST, Line, read_lines
from ft_assets.sources.rejected import Rejected, start_of
from ft_assets.sources.row import Row
from ft_assets.sources.stored_file import StoredFile

DELIMITERS = ",\t;"


def read_csv(file: StoredFile) -> Iterator[Row | Rejected]:
    """One Row or Rejected for every record; an empty cell is no value. `line` is the record's first line.

    A quotation mark that is never closed would swallow the good rows behind it. So of a record of several
    lines that does not come out right, only the first line is lost: reading goes on with the second.

    Raises:
        WrongInput, BrokenEnvironment: the file cannot be opened or reached.
    """
    # The module knows one limit for all readers, and its default would lose good rows.
    csv.field_size_limit(max(LONGEST, csv.field_size_limit()))
    lines = _Lines(line for line in read_lines(file) if isinstance(line, Rejected) or line.whole)
    names: list[str] | None = None
    delimiter = ","
    while (first := lines.peek()) is not None:
        if isinstance(first, Rejected):
            lines.pop()
            yield first
            names = names or []  # a header that cannot be read names nothing
        elif not first.text.strip():
            lines.pop()
        elif names is None:
            lines.pop()
            delimiter = max(DELIMITERS, key=first.text.count)
            names = _header(first.text, delimiter)
        elif cells := lines.record(delimiter, len(names)):
            yield Row(first.number, dict(zip(names, (cell or None for cell in cells), strict=True)))
        else:
            yield _wrong(file.name, first, len(names))


def _header(text: str, delimiter: str) -> list[str]:
    try:
        return [name.strip() for name in next(csv.reader([text], delimiter=delimiter))]
    except csv.Error:
        return []


def _wrong(name: str, first: Line, width: int) -> Rejected:
    detail = (
        f"not a record of {width} columns, as the header has them; quote cells that hold commas or line ends"
    )
    return Rejected(name, first.number, "wrong_columns", detail, start_of(first.text))


class _Broken(Exception):
    """A record that goes on cannot."""


class _Lines:
    """Lines that can be given back."""

    def __init__(self, source: Iterator[Line | Rejected]) -> None:
        self._source = source
        self._ahead: deque[Line | Rejected] = deque()
        self._taken: list[Line] = []
        self._size = 0

    def peek(self) -> Line | Rejected | None:
        """The next line, which stays; None at the end."""
        if not self._ahead and (line := next(self._source, None)) is not None:
            self._ahead.append(line)
        return self._ahead[0] if self._ahead else None

    def pop(self) -> None:
        self._ahead.popleft()

    def record(self, delimiter: str, width: int) -> list[str] | None:
        """The cells of one record of `width` cells; None, and all but its first line stay, where it is none."""
        self._taken, self._size = [], 0
        try:
            cells = next(csv.reader(self, delimiter=delimiter))
            if len(self._taken) > 1:
                lines = [line.text + "\n" for line in self._taken]
                next(csv.reader(lines, delimiter=delimiter, strict=True))
        except (csv.Error, _Broken):
            cells = []
        if cells and len(cells) == width:
            return cells
        self._ahead.extendleft(reversed(self._taken[1:]))
        return None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self.peek()
        if line is None:
            raise StopIteration
        if isinstance(line, Rejected) or self._size > LONGEST:
            raise _Broken
        self.pop()
        self._taken.append(line)
        self._size += len(line.text)
        return line.text + "\n"
