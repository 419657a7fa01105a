"""From rows as their container gave them to examples: what shape each has, and what it says about itself."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from ft_assets.recipe_data import RowSource
from ft_assets.sources.example import Example
from ft_assets.sources.rejected import Rejected, start_of
from ft_assets.sources.row import BadRow, Row, text_of, wrong_type
from ft_assets.sources.shapes import SHAPE_FIELDS, find_shape, read_shape

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
    (ISO 8601; UTC where it names no zone), `slice`, `license`, `consent`, `author`, `weight` (above 0), and the
    source's `group_field`. `author` and `group` are as the row has them: whoever stores examples hashes both.
    """
    shapes: Counter[str] = Counter()
    return Reading(_examples(rows, source, place, shapes), shapes)


def fields_read(source: RowSource) -> frozenset[str]:
    """Names of every field that may be looked at."""
    return SHAPE_FIELDS | _OWN_FIELDS.keys() | ({source.group_field} if source.group_field else frozenset())


def _examples(
    rows: Iterable[Row | Rejected], source: RowSource, place: Place, shapes: Counter[str]
) -> Iterator[Example | Rejected]:
    wanted = None if source.format == "auto" else source.format
    otherwise = {"source": place.name, "created_at": place.created_at}
    otherwise |= {"slice": source.slice, "license": source.license, "consent": source.consent}
    for row in rows:
        if isinstance(row, Rejected):
            yield row
            continue
        try:
            shape = find_shape(row.fields, wanted)
            said = read_shape(row.fields, shape)
            about = {**otherwise, "line": row.line, **_about(row.fields, source.group_field, place.name)}
            example = Example(
                messages=said.messages, rejected=said.rejected, desirable=said.desirable, **about
            )
        except BadRow as bad:
            yield _rejected(row, place, bad.reason, bad.detail)
        except RecursionError:
            yield _rejected(row, place, "too_deep", "nested too deeply; write text where text is meant")
        else:
            shapes[shape] += 1
            yield example


def _rejected(row: Row, place: Place, reason: str, detail: str) -> Rejected:
    start = start_of(row.fields if row.text is None else row.text)
    return Rejected(place.name, row.line, reason, detail, start)


def _about(fields: dict[str, Any], group_field: str | None, name: str) -> dict[str, Any]:
    """What the row says about itself, as fields of an Example."""
    said: dict[str, Any] = {}
    for field in _OWN_FIELDS.keys() & fields.keys():
        if fields[field] is not None:
            said[field] = _OWN_FIELDS[field](fields[field], field)
    own_id = said.pop("id", None)
    if own_id is not None:
        said["source"] = f"{name}#{own_id}"
    if group_field and (group := fields.get(group_field)) is not None:
        said["group"] = _name(group, group_field)
    return said


def _own_id(value: Any, _: str) -> str | None:
    # An id of other characters may be an address or a sentence; file and line name the row as well.
    return str(value) if isinstance(value, str | int) and _ID.fullmatch(str(value)) else None


def _word(value: Any, field: str) -> str:
    word = text_of(value, field)
    if len(word) > _LONGEST_WORD:
        raise BadRow("too_long", f"over {_LONGEST_WORD} characters; write a short name", field)
    return word


def _name(value: Any, field: str) -> str | None:
    if value != value:  # a table may say NaN for nothing
        return None
    if isinstance(value, list | dict | bytes):
        wrong_type(field, value, "a name", "write a string or a number")
    return text_of(str(value), field)


def _moment(value: Any, field: str) -> datetime:
    if isinstance(value, date):  # what tables hold; datetime is one
        value = value.isoformat()
    if not isinstance(value, str):
        wrong_type(field, value, "a time", "write ISO 8601, as 2026-11-21T10:05:00Z")
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        problem = f"{value!r:.80} is no time; write ISO 8601, as 2026-11-21T10:05:00Z"
        raise BadRow("wrong_time", problem, field) from error


def _weight(value: Any, field: str) -> float:
    instead = "write a number above 0, such as 2 or 0.5, leave it out for 1, or rename the field"
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        wrong_type(field, value, "a number", instead)
    try:
        weight = float(value)  # also of text, which is all that a CSV file holds
    except (ValueError, OverflowError):
        weight = math.nan
    if weight == 0:
        raise BadRow("zero_weight", "0 says that the row is not to be learnt; leave the row out", field)
    if not 0 < weight < math.inf:
        raise BadRow("wrong_weight", f"{value!r:.40} is no weight; {instead}", field)
    return weight


_OWN_FIELDS: dict[str, Callable[[Any, str], Any]] = {
    "id": _own_id,
    "created_at": _moment,
    "slice": _word,
    "license": _word,
    "consent": _word,
    "author": _name,
    "weight": _weight,
}
