"""Each filter rejects what it names and nothing else."""

import pytest

from ft_assets.curation.filters import FILTERS, first_reason
from ft_assets.recipe import Curation
from ft_assets.sources.example import Example, Message
from ft_assets_tests.curation.rows import chat

_SETTINGS = Curation(min_answer_chars=5, max_answer_chars=50, max_prompt_chars=100, allowed_licenses=["MIT"])


def _roles(*roles: str) -> Example:
    turns = [Message.model_validate({"role": role, "content": f"turn {n}"}) for n, role in enumerate(roles)]
    return Example(messages=tuple(turns), source="test", license="MIT")


@pytest.mark.parametrize(
    ("example", "reason"),
    [
        (chat("Who?", "It is Ann."), None),
        (chat("Who?", "Me, sir.", "Really?", "It is Ann."), None),
        (chat("Who?", "Ann"), "answer_too_short"),
        (chat("Who?", "x" * 51), "answer_too_long"),
        (chat("x" * 101, "It is Ann."), "prompt_too_long"),
        (chat("", "It is Ann."), "empty_turn"),
        (chat("Who?", ""), "empty_turn"),
        (chat("Say  this.", "say this."), "answer_equals_prompt"),
        (chat("Who?", "It is Ann.", license="GPL-3.0-only"), "license_not_allowed"),
        (_roles("system", "user", "assistant"), None),
        (_roles("user", "assistant", "tool", "tool", "assistant"), None),
        (_roles("assistant", "assistant"), "role_order"),
        (_roles("user", "user", "assistant"), "role_order"),
        (_roles("user", "system", "assistant"), "role_order"),
        (_roles("user", "tool", "assistant"), "role_order"),
        (_roles("system", "assistant"), "role_order"),
        (_roles("user", "user"), "role_order"),
        (_roles("system", "system"), "role_order"),
    ],
)
def test_a_row_is_rejected_for_its_reason(example: Example, reason: str | None) -> None:
    found = first_reason(example, _SETTINGS)
    assert (found and found[0]) == reason
    assert found is None or found[1]


@pytest.mark.parametrize(
    "answer",
    ["TODO: write this", "N/A", "None.", "Deprecated, use `read_file` instead.", ">>> import io", "Deprecated",
     "See :meth:`run`.", "see OptionParser.destroy().", "See https://example.com/docs", "Self-explanatory."],
)  # fmt: skip
def test_junk_answers_are_rejected(answer: str) -> None:
    assert FILTERS["answer_is_junk"](chat("What?", answer), _SETTINGS)


@pytest.mark.parametrize(
    "answer",
    ["Return a list of arguments reproducing the", "One, two,", "Call the function (", "This may result in a"],
)  # fmt: skip
def test_answers_that_stop_mid_sentence_are_rejected(answer: str) -> None:
    assert FILTERS["answer_unfinished"](chat("What?", answer), _SETTINGS)


@pytest.mark.parametrize(
    "answer",
    ["None of them works.", "See you tomorrow.", "To continue, please log in", "Paris", "A", "Todos los santos",
     "See the doctor.", "It is deprecatedly slow.", "It is a list:\n- the\n- a", "Vitamin A", "That is what it is for",
     "Null hypotheses are rejected.", "Placeholders are written in braces."],
)  # fmt: skip
def test_honest_answers_are_not_taken_for_junk(answer: str) -> None:
    example = chat("What?", answer)
    assert FILTERS["answer_is_junk"](example, _SETTINGS) is None
    if answer != "Vitamin A":  # the price of a rule that knows no meaning
        assert FILTERS["answer_unfinished"](example, _SETTINGS) is None


def test_an_assistant_that_only_calls_tools_is_not_empty() -> None:
    turns = (
        Message(role="user", content="Add."),
        Message(role="assistant", content="", tool_calls='[{"name":"add"}]'),
        Message(role="tool", content="3"),
        Message(role="assistant", content="It is 3."),
    )
    assert first_reason(Example(messages=turns, source="test", license="MIT"), _SETTINGS) is None


def test_every_licence_is_allowed_where_none_is_named() -> None:
    assert first_reason(chat("Who?", "It is surely Ann.", license="GPL-3.0-only"), Curation()) is None
