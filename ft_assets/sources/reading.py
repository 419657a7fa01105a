"""From rows as their container gave them to examples: what shape each has, and what it says about itself."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from ft_assets.recipe_data import RowSource
from ft_assets.sources.example import Example
from ft_assets.sources.rejected import Rejected, start_of
from ft_assets.sources.row import BadRow, Row, text_of, wrong_type
from ft_assets.sources.shapes import SHAPE_FIELDS, find_shape, read_shape

_OWN_FIELDS = frozenset({"id", "created_at", "slice", "license", "consent", "author"})
_ID = re.compile(r"[\w.:-]{1,64}")
_LONGEST_WORD = 200  # characters: these words become keys of tables that people read


class Reading(Iterator[Example | Rejected]):
    """Examples and rejected rows of a source, one at a time.

    Attributes:
        shapes: how many rows of each shape were read so far.
    """

    def __init__(self, items: Iterator[Example | Rejected], shapes: Counter[str]) -> None:
        self._items = items
        self.shapes = shapes

    def __next__(self) -> Example | Rejected:
        return next(self._items)


class Place(NamedTuple):
    """Where rows are from, and when they were made that do not say so."""

    name: str
    created_at: datetime


def read_rows(rows: Iterable[Row | Rejected], source: RowSource, place: Place) -> Reading:
    """Every row as an Example, or as Rejected with its reason; what was rejected before passes through.

    Rows may carry `id` (kept in `source` where it is up to 64 letters, digits and `_.:-`), `created_at`
    (ISO 8601; UTC where it names no zone), `slice`, `license`, `consent`, `author`, and the source's
    `group_field`. `author` and `group` are as the row has them: whoever stores examples hashes both.
    """
    shapes: Counter[str] = Counter()
    return Reading(_examples(rows, source, place, shapes), shapes)


def fields_read(source: RowSource) -> frozenset[str]:
    """Names of every field that may be looked at."""
    return SHAPE_FIELDS | _OWN_FIELDS | ({source.group_field} if source.group_field else frozenset())


def _examples(
    rows: Iterable[Row | Rejected], source: RowSource, place: Place, shapes: Counter[str]
) -> Iterator[Example | Rejected]:
    wanted = None if source.format == "auto" else source.format
    for row in rows:
        if isinstance(row, Rejected):
            yield row
            continue
        try:
            shape = find_shape(row.fields, wanted)
            example = Example(**read_shape(row.fields, shape)._asdict(), **_about(row, source, place))
        except BadRow as bad:
            yield _rejected(row, place, bad.reason, bad.detail)
        except RecursionError:
            yield _rejected(row, place, "too_deep", "nested too deeply; write text where text is meant")
        else:
            shapes[shape] += 1
            yield example


def _rejected(row: Row, place: Place, reason: str, detail: str) -> Rejected:
    return Rejected(
        place.name, row.line, reason, detail, start_of(row.fields if row.text is None else row.text)
    )


def _about(row: Row, source: RowSource, place: Place) -> dict[str, Any]:
    fields = row.fields
    return {
        "source": _source(fields.get("id"), place.name),
        "line": row.line,
        "license": _word(fields, "license", source.license),
        "consent": _word(fields, "consent", source.consent),
        "slice": _word(fields, "slice", source.slice),
        "group": _name(fields, source.group_field) if source.group_field else None,
        "author": _name(fields, "author"),
        "created_at": _created_at(fields.get("created_at"), place.created_at),
    }


def _source(own_id: Any, name: str) -> str:
    # An id of other characters may be an address or a sentence; file and line name the row as well.
    fits = isinstance(own_id, str | int) and _ID.fullmatch(str(own_id))
    return f"{name}#{own_id}" if fits else name


def _word(fields: dict[str, Any], field: str, otherwise: str | None) -> str | None:
    if fields.get(field) is None:
        return otherwise
    word = text_of(fields[field], field)
    if len(word) > _LONGEST_WORD:
        raise BadRow("too_long", f"over {_LONGEST_WORD} characters; write a short name", field)
    return word


def _name(fields: dict[str, Any], field: str) -> str | None:
    value = fields.get(field)
    if type(value) is int:  # which a bool is not
        return str(value)
    return None if value is None else text_of(value, field)


def _created_at(value: Any, otherwise: datetime) -> datetime:
    if value is None:
        return otherwise
    if isinstance(value, date):  # what tables hold; datetime is one
        value = value.isoformat()
    if not isinstance(value, str):
        wrong_type("created_at", value, "a time", "write ISO 8601, as 2026-11-21T10:05:00Z")
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        problem = f"{value!r:.80} is no time; write ISO 8601, as 2026-11-21T10:05:00Z"
        raise BadRow("wrong_time", problem, "created_at") from error
