"""Each filter rejects what it names and nothing else."""

import pytest

from ft_assets.curation.filters import judge
from ft_assets.recipe_data import Curation
from ft_assets.sources.example import Example, Message, to_table
from ft_assets_tests.curation.rows import chat

_SETTINGS = Curation(min_answer_chars=5, max_answer_chars=50, max_prompt_chars=100, allowed_licenses=["MIT"])


def first_reason(example: Example, settings: Curation) -> tuple[str, str] | None:
    """Reason and detail of a row that is judged alone."""
    judged = judge(to_table([example]).to_batches()[0], settings, None)
    (reason,), (detail,) = judged.reasons.to_pylist(), judged.details.to_pylist()
    assert (reason is None) == (detail is None)
    return None if reason is None else (reason, detail)


def reason_of(example: Example, settings: Curation = _SETTINGS) -> str | None:
    found = first_reason(example, settings)
    return found and found[0]


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


def test_consent_is_asked_for_where_the_recipe_names_some() -> None:
    settings = Curation(allowed_consents=["terms-2026"])
    assert reason_of(chat("Who?", "It is surely Ann.", consent="terms-2026"), settings) is None
    assert reason_of(chat("Who?", "It is surely Ann.", consent="terms-2019"), settings) == "consent_missing"
    assert reason_of(chat("Who?", "It is surely Ann."), settings) == "consent_missing"


def calling(calls: str, answer: str = "", **fields: object) -> Example:
    turns = (
        Message(role="user", content="Add 1 and 2."),
        Message(role="assistant", content=answer, tool_calls=calls),
    )
    return Example(messages=turns, source="test", license="MIT", **fields)


@pytest.mark.parametrize(
    ("calls", "reason"),
    [
        ('[{"name":"add","arguments":{"a":1}}]', None),
        ('[{"type":"function","function":{"name":"add","arguments":"{\\"a\\": 1}"}}]', None),
        ('[{"name":"add"}]', None),
        ('[{"name":"add","arguments":"{"}]', "broken_tool_call"),
        ('[{"name":"add","arguments":[1]}]', "broken_tool_call"),
        ('[{"name":"add"', "broken_tool_call"),
        ('{"name":"add"}', "broken_tool_call"),
        ('[{"arguments":{}}]', "broken_tool_call"),
        ('["add"]', "broken_tool_call"),
        ("[]", "broken_tool_call"),
        ("[" * 100_000, "broken_tool_call"),
    ],
)
def test_tool_calls_must_name_a_function_and_give_json(calls: str, reason: str | None) -> None:
    assert reason_of(calling(calls)) == reason


def test_only_an_assistant_calls_tools() -> None:
    asking = Message(role="user", content="", tool_calls='[{"name":"add"}]')
    row = Example(
        messages=(asking, Message(role="assistant", content="It is 3.")), source="test", license="MIT"
    )
    assert reason_of(row) == "broken_tool_call"


def test_an_answer_that_says_the_same_over_and_over_is_repetitive() -> None:
    loop = "the cat sat on the mat and then it slept " * 6
    assert reason_of(chat("Tell me.", loop), Curation()) == "repetitive"
    assert reason_of(chat("Tell me.", loop), Curation(max_repetition=1.0)) is None
    assert reason_of(chat("Tell me.", loop, desirable=False), Curation()) is None


def test_an_answer_that_only_calls_tools_is_not_judged_as_text() -> None:
    settings = Curation(min_answer_chars=30, answer_format="[A-Z].*", languages=["de"])
    assert reason_of(calling('[{"name":"add"}]'), settings) is None
    assert reason_of(calling('[{"name":"add"}]', "short"), settings) == "answer_too_short"


@pytest.mark.parametrize(
    ("worse", "reason"),
    [
        (Message(role="assistant", content="It is Bob."), None),
        (Message(role="assistant", content=""), "bad_preference"),
        (Message(role="assistant", content="It  is Ann."), "bad_preference"),
        (Message(role="user", content="It is Bob."), "bad_preference"),
        (Message(role="assistant", content="", tool_calls="[{}]"), "broken_tool_call"),
        (Message(role="assistant", content="It is B\ufffd\ufffd."), "mangled_text"),
    ],
)
def test_a_rejected_answer_is_another_answer(worse: Message, reason: str | None) -> None:
    assert reason_of(chat("Who?", "It is Ann.", rejected=worse)) == reason


def test_text_that_a_wrong_decoding_lost_is_mangled() -> None:
    assert reason_of(chat("Who?", "It is \ufffd\ufffd\ufffd Ann.")) == "mangled_text"
    assert reason_of(chat("Who\x00?", "It is Ann.")) == "mangled_text"
    long = "It is Ann, said the man who had seen her. " * 5 + "\ufffd"
    assert reason_of(chat("Who?", long), Curation()) != "mangled_text"


def test_a_bad_answer_that_was_disliked_is_kept() -> None:
    for answer in ("TODO", "I'm sorry, but I can't help with that.", "no", "One, two, and the"):
        assert reason_of(chat("Who?", answer, desirable=False), Curation()) is None
        assert reason_of(chat("Who?", answer, desirable=True), Curation()) is not None


def test_each_row_is_judged_by_itself_and_order_is_kept() -> None:
    rows = [chat("Who?", "Ann"), chat("Who?", "It is Ann."), chat("", "It is Ann.")]
    judged = judge(to_table(rows).to_batches()[0], _SETTINGS, None)
    assert judged.reasons.to_pylist() == ["answer_too_short", None, "empty_turn"]
    assert judged.batch["id"].to_pylist() == [row.id for row in rows]
    nothing = to_table(rows).to_batches()[0].slice(0, 0)
    assert judge(nothing, _SETTINGS, None).reasons.to_pylist() == []
