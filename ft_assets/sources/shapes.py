"""The shapes of a row that the field uses, and what each says."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from ft_assets.recipe_data import RowFormat
from ft_assets.sources.example import Message
from ft_assets.sources.messages import read_turns
from ft_assets.sources.row import BadRow, fields_found, text_of, wrong_type

_Fields = dict[str, Any]


class Said(NamedTuple):
    """A conversation that ends with an answer, and how the answer was judged; as in `Example`."""

    messages: tuple[Message, ...]
    rejected: Message | None = None
    desirable: bool | None = None


class _Shape(NamedTuple):
    needs: tuple[str, ...]
    read: Callable[[_Fields], Said]


def find_shape(fields: _Fields, wanted: RowFormat | None = None) -> RowFormat:
    """The wanted shape, or the first one that the row has every field of, the one with most to say first.

    Raises:
        BadRow: the row has not the fields of the wanted shape, or of any.
    """
    present = frozenset([name for name, value in fields.items() if value is not None])
    found = _first(present & SHAPE_FIELDS)
    if found is None:
        known = "; ".join(f"{name}: {', '.join(shape.needs)}" for name, shape in _SHAPES.items())
        raise BadRow(
            "unknown_shape", f"fields found: {fields_found(fields)}; write those of one shape ({known})"
        )
    if wanted is None or wanted == found:
        return found
    # Read so, a KTO row would teach its answer even where nobody liked it.
    judged = found == "kto" and wanted == "prompt_completion"
    if judged or not present.issuperset(_SHAPES[wanted].needs):
        raise BadRow(
            "other_shape", f"the row is {found}, and the recipe wants {wanted}; write `format: auto` for both"
        )
    return wanted


@cache
def _first(present: frozenset[str]) -> RowFormat | None:
    return next((name for name, shape in _SHAPES.items() if present.issuperset(shape.needs)), None)


def read_shape(fields: _Fields, shape: RowFormat) -> Said:
    """What a row of this shape says, after the system turn that a field `system` may hold.

    Raises:
        BadRow: names the field, and what to write instead.
    """
    said = _SHAPES[shape].read(fields)
    if (system := fields.get("system")) and said.messages[:1] and said.messages[0].role != "system":
        first = Message(role="system", content=text_of(system, "system"))
        said = said._replace(messages=(first, *said.messages))
    if not said.messages or said.messages[-1].role != "assistant":
        raise BadRow("no_answer", "the last turn is not an assistant's answer; end with the answer to learn")
    if len(said.messages) < 2:
        raise BadRow("no_prompt", "there is only an answer; put the user's turn before it")
    return said


def _messages(fields: _Fields) -> Said:
    return Said(read_turns(fields["messages"], "messages"))


def _sharegpt(fields: _Fields) -> Said:
    return Said(read_turns(fields["conversations"], "conversations"))


def _alpaca(fields: _Fields) -> Said:
    asked = text_of(fields["instruction"], "instruction")
    if given := fields.get("input"):
        asked = f"{asked}\n\n{text_of(given, 'input')}"
    return Said((*_history(fields), _user(asked), _answer(fields["output"], "output")))


def _prompt_completion(fields: _Fields) -> Said:
    return Said((*_turns(fields["prompt"], "prompt", _user), *_answers(fields["completion"], "completion")))


def _kto(fields: _Fields) -> Said:
    return _prompt_completion(fields)._replace(desirable=_label(fields["label"]))


def _preference(fields: _Fields) -> Said:
    prompt = _turns(fields.get("prompt") or [], "prompt", _user)
    chosen, rejected = (_after(prompt, _answers(fields[name], name)) for name in ("chosen", "rejected"))
    if chosen[:-1] != rejected[:-1] or not rejected:
        raise BadRow(
            "pair_differs_early",
            "it differs from `chosen` before the last turn; give both the same turns up to it",
            "rejected",
        )
    if rejected[-1].role != "assistant":
        raise BadRow(
            "no_answer", "the last turn is not an assistant's; end with the worse answer", "rejected"
        )
    return Said(chosen, rejected=rejected[-1])


def _after(prompt: tuple[Message, ...], turns: tuple[Message, ...]) -> tuple[Message, ...]:
    """The whole conversation; some datasets repeat the prompt in each answer, perhaps behind earlier turns."""
    repeats = len(turns) > len(prompt) and prompt in (turns[: len(prompt)], turns[-len(prompt) - 1 : -1])
    return turns if repeats else (*prompt, *turns)


def _turns(value: Any, field: str, one: Callable[[str], Message]) -> tuple[Message, ...]:
    return (one(text_of(value, field)),) if isinstance(value, str) else read_turns(value, field)


def _answers(value: Any, field: str) -> tuple[Message, ...]:
    return _turns(value, field, lambda text: Message(role="assistant", content=text))


def _user(text: str) -> Message:
    return Message(role="user", content=text)


def _answer(value: Any, field: str) -> Message:
    return Message(role="assistant", content=text_of(value, field))


def _history(fields: _Fields) -> list[Message]:
    """LLaMA-Factory's `history`: pairs of an earlier instruction and its answer."""
    pairs = fields.get("history") or []
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        wrong_type("history", pairs, "a list of pairs", 'write [["instruction", "answer"], …]')
    return [
        turn
        for asked, answer in pairs
        for turn in (_user(text_of(asked, "history")), _answer(answer, "history"))
    ]


def _label(value: Any) -> bool:
    text = str(value).lower().removesuffix(".0")  # a table with empty cells may hold 1.0 for true
    if text not in ("true", "false", "1", "0"):
        wrong_type(
            "label", value, "true or false", "write true for an answer that was liked, or rename the field"
        )
    return text in ("true", "1")


_SHAPES: dict[RowFormat, _Shape] = {
    "preference": _Shape(("chosen", "rejected"), _preference),
    "kto": _Shape(("prompt", "completion", "label"), _kto),
    "prompt_completion": _Shape(("prompt", "completion"), _prompt_completion),
    "messages": _Shape(("messages",), _messages),
    "sharegpt": _Shape(("conversations",), _sharegpt),
    "alpaca": _Shape(("instruction", "output"), _alpaca),
}

SHAPE_FIELDS = frozenset(
    {field for shape in _SHAPES.values() for field in shape.needs} | {"input", "system", "history"}
)
"""Every field that some shape reads."""
