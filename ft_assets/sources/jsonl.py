"""JSON Lines: one object a line."""

import json
from collections.abc import Iterator
from typing import Any

from ft_assets.sources.lines import Line, read_lines
from ft_assets.sources.rejected import Rejected, start_of
from ft_assets.sources.row import BadRow, Row, kind_of
from ft_assets.sources.stored_file import StoredFile

EXAMPLE = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'


def read_jsonl(file: StoredFile) -> Iterator[Row | Rejected]:
    """One Row or Rejected for every line that is not blank.

    Raises:
        WrongInput, BrokenEnvironment: the file cannot be opened or reached.
    """
    for line in read_lines(file):
        if isinstance(line, Rejected):
            yield line
        elif line.text and not line.text.isspace() and (found := _read(file.name, line)):
            yield found


def parse_object(text: str) -> dict[str, Any]:
    """The object that a text spells in JSON.

    Raises:
        BadRow: it spells none.
    """
    try:
        fields = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"not JSON at character {error.pos + 1} ({error.msg})"
        raise BadRow("not_json", f"{where}; write one object a line: {EXAMPLE}") from error
    except RecursionError as error:
        raise BadRow("too_deep", f"nested too deeply; write one object a line: {EXAMPLE}") from error
    except ValueError as error:  # a number of thousands of digits
        raise BadRow("not_json", f"not usable JSON ({error}); write one object a line: {EXAMPLE}") from error
    if not isinstance(fields, dict):
        raise BadRow("not_an_object", f"{kind_of(fields)} and not an object; write {EXAMPLE}")
    return fields


def _read(name: str, line: Line) -> Row | Rejected | None:
    try:
        return Row(line.number, parse_object(line.text), line.text)
    except BadRow as bad:
        if not line.whole:
            return None  # the damage is told for itself
        return Rejected(name, line.number, bad.reason, bad.detail, start_of(line.text))
