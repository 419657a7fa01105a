"""The reasons for which a row alone is rejected: one pure function each, in the order in which they are asked.

A filter returns None to keep a row, or what it found, in words that become the row's `detail`.
"""

import re
from collections.abc import Callable

from ft_assets.recipe import Curation
from ft_assets.sources.example import Example

Filter = Callable[[Example, Curation], str | None]

_NOT_AN_ANSWER = re.compile(
    r"(?:todo|fixme|xxx|tbd|tba|wip)\b.{0,80}"
    r"|(?:n/?a|none|null|nan|undocumented|obsolete|not implemented|placeholder|self[- ]explanatory)[.!]?"
    r"|(?:deprecated|lorem ipsum)(?:[.,:;!]? .{0,80})?[.!]?"
    r"|see (?:also )?(?::\w+:`|`|https?://|help\(|[\w.]+\(\)|\w+\.\w+|the (?:docs?|docstring|documentation)\b).*"
    r"|(?:>>>|\.\.\.) .*",
    re.IGNORECASE,
)
# Words that end no sentence. Prepositions are left out: people log in, and know what they look for.
_UNFINISHED = re.compile(
    r".*(?:[,(\[{]|\b(?:a|an|the|and|or|of|its|their|which|while|into|than|if|as))", re.IGNORECASE
)


def first_reason(example: Example, settings: Curation) -> tuple[str, str] | None:
    """(reason, detail) of the first filter that rejects the row, or None."""
    for reason, judge in FILTERS.items():
        if detail := judge(example, settings):
            return reason, detail
    return None


def _license(example: Example, settings: Curation) -> str | None:
    allowed = settings.allowed_licenses
    return (
        None
        if allowed is None or example.license in allowed
        else f"{example.license} is not in allowed_licenses"
    )


def _role_order(example: Example, settings: Curation) -> str | None:
    """Any system turns first; then user, answer, user, …; tool turns only after an assistant or another tool."""
    roles = [turn.role for turn in example.messages]
    while roles and roles[0] == "system":
        roles.pop(0)
    follows = {
        "start": {"user"},
        "user": {"assistant"},
        "assistant": {"user", "tool"},
        "tool": {"assistant", "tool"},
    }
    for before, role in zip(["start", *roles], roles, strict=False):
        if role not in follows[before]:
            return f"`{role}` after `{before}`"
    return None if roles and roles[-1] == "assistant" else "the last turn is not an assistant's"


def _empty_turn(example: Example, settings: Curation) -> str | None:
    for index, turn in enumerate(example.messages):
        if not turn.content and not (turn.tool_calls and turn is not example.messages[-1]):
            return f"turn {index + 1} (`{turn.role}`) is empty"
    return None


def _answer_too_short(example: Example, settings: Curation) -> str | None:
    return _under(len(example.answer), settings.min_answer_chars)


def _answer_too_long(example: Example, settings: Curation) -> str | None:
    return _over(len(example.answer), settings.max_answer_chars)


def _prompt_too_long(example: Example, settings: Curation) -> str | None:
    return _over(len(example.prompt), settings.max_prompt_chars)


def _answer_equals_prompt(example: Example, settings: Curation) -> str | None:
    answer = " ".join(example.answer.casefold().split())
    asked = (
        " ".join(turn.content.casefold().split()) for turn in example.messages[:-1] if turn.role == "user"
    )
    return "the answer repeats a user's turn" if answer in asked else None


def _answer_is_junk(example: Example, settings: Curation) -> str | None:
    """Placeholders, bare references and doctest prompts, which answer nothing; one line only."""
    return f"{example.answer!r}" if _NOT_AN_ANSWER.fullmatch(example.answer) else None


def _answer_unfinished(example: Example, settings: Curation) -> str | None:
    """Ends where no sentence can end, as a truncated or wrapped one does; one line only."""
    line = example.answer
    if " " not in line or not _UNFINISHED.fullmatch(line):
        return None
    return f"ends with `{line.split()[-1]}`"


def _answer_not_in_format(example: Example, settings: Curation) -> str | None:
    """House style is learnt from the data, so rows that break it are not shown."""
    wanted = settings.answer_format
    fits = wanted is None or re.fullmatch(wanted, example.answer, re.DOTALL)
    return None if fits else f"{example.answer[:80]!r} is not {wanted}"


def _under(count: int, limit: int) -> str | None:
    return f"{count} characters, at least {limit} wanted" if count < limit else None


def _over(count: int, limit: int) -> str | None:
    return f"{count} characters, at most {limit} wanted" if count > limit else None


FILTERS: dict[str, Filter] = {
    "license_not_allowed": _license,
    "role_order": _role_order,
    "empty_turn": _empty_turn,
    "answer_is_junk": _answer_is_junk,
    "answer_too_short": _answer_too_short,
    "answer_too_long": _answer_too_long,
    "prompt_too_long": _prompt_too_long,
    "answer_equals_prompt": _answer_equals_prompt,
    "answer_unfinished": _answer_unfinished,
    "answer_not_in_format": _answer_not_in_format,
}
"""Reason code to filter. `exact_duplicate` and `near_duplicate` come from `duplicates.py`."""
