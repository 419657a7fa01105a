"""The reasons for which a row alone is rejected: one pure function each, in the order in which they are asked.

A filter gives None for each row that it keeps, and for the others what it found: the words become the row's `detail`.
"""

import json
import re
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ft_assets.curation import answers, phrases
from ft_assets.curation.language import check_languages
from ft_assets.curation.tokens import Tokenizer
from ft_assets.curation.turns import Columns, with_conversations
from ft_assets.errors import WrongInput
from ft_assets.recipe_data import Curation
from ft_assets.sources.example import Message, example_id

Found = list[str | None]
Filter = Callable[[Columns, Curation], Found]
Messages = tuple[Message, ...]

_FOLLOWS = {
    "start": {"user"},
    "user": {"assistant"},
    "assistant": {"user", "tool"},
    "tool": {"assistant", "tool"},
}
_MANGLED = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\ufdd0-\ufdef\ufffd-\uffff]")
_MANGLED_SHARE = 0.01
"""Of a turn's characters."""


@dataclass(frozen=True)
class Judged:
    """Rows in their order, some of them cut to fit, with the first reason to reject each; null where it is kept."""

    batch: pa.RecordBatch
    reasons: pa.StringArray
    details: pa.StringArray


def judge(batch: pa.RecordBatch, settings: Curation, tokenizer: Tokenizer | None) -> Judged:
    """Ask every filter about cleaned rows.

    Args:
        batch: rows of `EXAMPLE_SCHEMA`.
        tokenizer: of the base, for `max_tokens`; without it, lengths in tokens are not looked at.

    Raises:
        WrongInput: `languages` names one that cannot be told.
    """
    check_languages(settings.languages or [])
    columns = Columns(batch)
    verdicts: list[tuple[str, str] | None] = [None] * len(columns)
    for reason, ask in FILTERS.items():
        for index, detail in enumerate(ask(columns, settings)):
            if detail and verdicts[index] is None:
                verdicts[index] = reason, detail
    if tokenizer is not None and settings.max_tokens is not None:
        batch = _fit(batch, columns, settings, tokenizer, verdicts)
    reasons, details = (
        zip(*(verdict or (None, None) for verdict in verdicts), strict=True) if verdicts else ((), ())
    )
    return Judged(batch, pa.array(reasons, pa.string()), pa.array(details, pa.string()))


def _license(columns: Columns, settings: Curation) -> Found:
    allowed = settings.allowed_licenses
    return [
        None if allowed is None or name in allowed else f"{name} is not in allowed_licenses"
        for name in columns.values("license")
    ]


def _consent(columns: Columns, settings: Curation) -> Found:
    allowed = settings.allowed_consents
    return [
        None if allowed is None or given in allowed else f"{given or 'none'} is not in allowed_consents"
        for given in columns.values("consent")
    ]


def _role_order(columns: Columns, settings: Curation) -> Found:
    """Any system turns first; then user, answer, user, …; tool turns only after an assistant or another tool."""
    return [_out_of_order(roles) for roles in columns.roles]


def _out_of_order(roles: list[str]) -> str | None:
    turns = deque(roles)
    while turns and turns[0] == "system":
        turns.popleft()
    for before, role in zip(["start", *turns], turns, strict=False):
        if role not in _FOLLOWS[before]:
            return f"`{role}` after `{before}`"
    return None if turns and turns[-1] == "assistant" else "the last turn is not an assistant's"


def _empty_turn(columns: Columns, settings: Curation) -> Found:
    return [
        next(
            (
                f"turn {index + 1} (`{role}`) is empty"
                for index, (role, content, calls) in enumerate(zip(*row, strict=True))
                if not content and not calls
            ),
            None,
        )
        for row in zip(columns.roles, columns.contents, columns.tool_calls, strict=True)
    ]


def _broken_tool_call(columns: Columns, settings: Curation) -> Found:
    return [
        next((wrong for call in _calls(*row) if (wrong := _wrong_calls(*call))), None)
        for row in zip(columns.roles, columns.tool_calls, columns.rejected, strict=True)
    ]


def _calls(roles: list[str], calls: list[str | None], worse: Message | None) -> Iterator[tuple[str, str]]:
    """Role and tool calls of each turn, and of the rejected answer, that calls tools."""
    yield from ((role, text) for role, text in zip(roles, calls, strict=True) if text)
    if worse and worse.tool_calls:
        yield worse.role, worse.tool_calls


def _wrong_calls(role: str, text: str) -> str | None:
    """What keeps a text from being an assistant's list of calls, each with a name and JSON arguments."""
    if role != "assistant":
        return f"`{role}` calls a tool"
    try:
        calls = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"tool calls are not JSON ({error})"
    if not isinstance(calls, list) or not calls:
        return "tool calls are not a list of calls"
    return next((wrong for call in calls if (wrong := _wrong_call(call))), None)


def _wrong_call(call: Any) -> str | None:
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        return "a tool call names no function"
    arguments = function.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError) as error:
            return f"the arguments of {function['name']} are not JSON ({error})"
    return None if isinstance(arguments, dict) else f"the arguments of {function['name']} are not an object"


def _bad_preference(columns: Columns, settings: Curation) -> Found:
    return [
        worse and _wrong_preference(worse, conversation[-1])
        for worse, conversation in zip(columns.rejected, columns.conversations, strict=True)
    ]


def _wrong_preference(worse: Message, chosen: Message) -> str | None:
    if worse.role != "assistant":
        return f"the rejected answer is a turn of `{worse.role}`"
    if not worse.content and not worse.tool_calls:
        return "the rejected answer is empty"
    same = " ".join(worse.content.split()) == " ".join(chosen.content.split())
    return "the rejected answer is the chosen one" if same and worse.tool_calls == chosen.tool_calls else None


def _mangled_text(columns: Columns, settings: Curation) -> Found:
    """Characters that a wrong decoding lost, or that no text holds."""
    return [
        next((lost for text in (*contents, worse.content if worse else "") if (lost := _lost(text))), None)
        for contents, worse in zip(columns.contents, columns.rejected, strict=True)
    ]


def _lost(text: str) -> str | None:
    lost = len(_MANGLED.findall(text))
    many = lost > _MANGLED_SHARE * len(text)
    return f"{lost} of {len(text)} characters of a turn are no text" if many else None


def _prompt_too_long(columns: Columns, settings: Curation) -> Found:
    limit = settings.max_prompt_chars
    return [answers.over(len(prompt), limit) for prompt in columns.prompts]


def _answer_equals_prompt(columns: Columns, settings: Curation) -> Found:
    found: Found = []
    for roles, contents, answer in zip(columns.roles, columns.contents, columns.answers, strict=True):
        said = _folded(answer)
        asked = (_folded(content) for role, content in zip(roles, contents, strict=True) if role == "user")
        found.append("the answer repeats a user's turn" if said and said in asked else None)
    return found


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _repetitive(columns: Columns, settings: Curation) -> Found:
    limit = settings.max_repetition
    return [
        f"{share:.0%} of the words are in repeated phrases, at most {limit:.0%} wanted"
        if imitated and share > limit
        else None
        for share, imitated in zip(answers.repeated_shares(columns.answers), columns.imitated, strict=True)
    ]


def _of_answers(ask: Callable[[str, Curation], str | None]) -> Filter:
    """A filter of answers that the model is to imitate: not of those that only call tools, or were disliked."""

    def filter(columns: Columns, settings: Curation) -> Found:
        pairs = zip(columns.answers, columns.imitated, strict=True)
        return [ask(answer, settings) if imitated else None for answer, imitated in pairs]

    return filter


def _fit(
    batch: pa.RecordBatch,
    columns: Columns,
    settings: Curation,
    tokenizer: Tokenizer,
    verdicts: list[tuple[str, str] | None],
) -> pa.RecordBatch:
    """Reject rows over `max_tokens`, or cut them, by `overlong`."""
    limit = settings.max_tokens or 0
    conversations, cut = list(columns.conversations), set()
    for index, messages in enumerate(conversations):
        if verdicts[index] is not None:
            continue
        worse = columns.rejected[index]
        try:
            shorter = _shorten(messages, worse, settings.overlong, limit, tokenizer)
            if shorter is None:
                tokens = max(map(tokenizer.count, _versions(messages, worse)))
                verdicts[index] = "too_many_tokens", f"{tokens} tokens, at most {limit} wanted"
        except WrongInput as error:
            verdicts[index] = "template_refused", str(error)
            continue
        if shorter is not None and shorter is not messages:
            conversations[index] = shorter
            cut.add(index)
    return _replace(batch, columns, conversations, cut) if cut else batch


def _shorten(
    messages: Messages, worse: Message | None, overlong: str, limit: int, tokenizer: Tokenizer
) -> Messages | None:
    """The system turns and as many of the last exchanges as fit; None where `overlong` or the last one forbids it."""

    def fits(turns: Messages) -> bool:
        return all(tokenizer.fits(version, limit) for version in _versions(turns, worse))

    if fits(messages):
        return messages
    head = next(index for index, turn in enumerate(messages) if turn.role != "system")
    starts = [index for index, turn in enumerate(messages) if turn.role == "user" and index > head]
    if overlong == "reject" or not starts:
        return None
    # By halves, as a row may have thousands of turns: with fewer of them it is never longer.
    first = bisect_left(starts, True, key=lambda start: fits(messages[:head] + messages[start:]))
    return messages[:head] + messages[starts[first] :] if first < len(starts) else None


def _versions(messages: Messages, worse: Message | None) -> list[Messages]:
    """What training reads of a row: a preference row is read with either answer."""
    return [messages, (*messages[:-1], worse)] if worse else [messages]


def _replace(
    batch: pa.RecordBatch, columns: Columns, conversations: list[tuple[Message, ...]], cut: set[int]
) -> pa.RecordBatch:
    """Rows that were cut get a new id, and name the one they were cut from as a parent."""
    old, parents = columns.values("id"), columns.values("parents")
    ids = list(old)
    for index in cut:
        ids[index] = example_id(conversations[index], columns.rejected[index], columns.desirable[index])
        parents[index] = [old[index], *parents[index]]
    batch = with_conversations(batch, ids, conversations, columns.rejected)
    place = batch.schema.get_field_index("parents")
    field = batch.schema.field(place)
    return batch.set_column(place, field, pa.array(parents, field.type))


FILTERS: dict[str, Filter] = {
    "license_not_allowed": _license,
    "consent_missing": _consent,
    "role_order": _role_order,
    "empty_turn": _empty_turn,
    "broken_tool_call": _broken_tool_call,
    "bad_preference": _bad_preference,
    "mangled_text": _mangled_text,
    "answer_is_junk": _of_answers(answers.junk),
    "refusal": _of_answers(phrases.refusal),
    "boilerplate": _of_answers(phrases.boilerplate),
    "answer_too_short": _of_answers(answers.too_short),
    "answer_too_long": _of_answers(answers.too_long),
    "prompt_too_long": _prompt_too_long,
    "answer_equals_prompt": _answer_equals_prompt,
    "answer_unfinished": _of_answers(answers.unfinished),
    "repetitive": _repetitive,
    "answer_not_in_format": _of_answers(answers.not_in_format),
    "wrong_language": _of_answers(answers.wrong_language),
}
"""Reason code to filter. `too_many_tokens` follows them here; duplicates and contradictions in files of their own."""
