"""A row as its container gave it, before anyone asked what it means."""

from typing import Any, NamedTuple, NoReturn


class Row(NamedTuple):
    """Fields by name.

    Attributes:
        line: line of a text file, or row of a table, from 1.
        text: how a text file spells it; None in tables.
    """

    line: int
    fields: dict[str, Any]
    text: str | None = None


class BadRow(Exception):
    """This row cannot be used; reading goes on with the next.

    Args:
        reason: a code, the same for every row with this fault.
        problem: in words: what is wrong, what to write instead.
        field: path of the field that it is about, such as `messages[0].role`; empty for the whole row.
    """

    def __init__(self, reason: str, problem: str, field: str = "") -> None:
        super().__init__(problem)
        self.reason, self.problem, self.field = reason, problem, field

    @property
    def detail(self) -> str:
        """Field and problem, for `Rejected.detail`."""
        return f"field `{self.field}`: {self.problem}" if self.field else self.problem

    def inside(self, field: str) -> "BadRow":
        """The same, told by what holds the field."""
        return BadRow(self.reason, self.problem, f"{field}.{self.field}".rstrip("."))


def wrong_type(field: str, value: Any, wanted: str, instead: str) -> NoReturn:
    """Raise BadRow: the field holds something else than it should."""
    raise BadRow("wrong_type", f"{kind_of(value)} and not {wanted}; {instead}", field)


def text_of(value: Any, field: str) -> str:
    """The value, which must be text that UTF-8 can say.

    Raises:
        BadRow: it is not.
    """
    if not isinstance(value, str):
        wrong_type(field, value, "text", "write a string")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            problem = "an escape such as \\ud83d without its second half; write the whole character"
            raise BadRow("half_surrogate", problem, field) from None
    return value


def kind_of(value: Any) -> str:
    """What a value is, in the words of JSON."""
    names = {
        dict: "an object",
        list: "a list",
        str: "text",
        bytes: "bytes",
        bool: "true or false",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def fields_found(fields: dict[str, Any]) -> str:
    """The names of a row's fields that hold something, for a message; at most eight."""
    names = sorted(f"{name!r:.40}" for name, value in fields.items() if value is not None)
    return ", ".join(names[:8]).encode(errors="replace").decode() or "none"
