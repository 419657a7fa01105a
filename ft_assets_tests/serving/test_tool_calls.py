"""Calls in answers: which texts are calls, and that the answer says the same however tokens cut it."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ft_assets.evaluation.metrics.call_text import Call, may_be_json_calls
from ft_assets.evaluation.metrics.tool_calls import read_calls
from ft_assets.serving.tool_calls import CallReader, Piece

NAMES = ("weather", "now")
OSLO = '{"name": "weather", "arguments": {"city": "Oslo"}}'
NOW = '{"name": "now", "arguments": {}}'
WEATHER = Call("weather", {"city": "Oslo"})


def tagged(call: str) -> str:
    return f"<tool_call>\n{call}\n</tool_call>"


def read(parts: Sequence[str], names: Sequence[str] = NAMES) -> tuple[str, list[Call]]:
    """Text and calls of an answer that comes in parts."""
    reader = CallReader(names)
    pieces: list[Piece] = [piece for part in parts for piece in reader.push(part)] + reader.finish()
    text = "".join(piece for piece in pieces if isinstance(piece, str))
    return text, [piece for piece in pieces if isinstance(piece, Call)]


@pytest.mark.parametrize(
    ("answer", "text", "calls"),
    [
        (tagged(OSLO), "", [WEATHER]),
        (f"Let me look.\n{tagged(OSLO)}\n", "Let me look.", [WEATHER]),
        (f"{tagged(OSLO)}\n{tagged(NOW)}", "", [WEATHER, Call("now", {})]),
        (f"{tagged(OSLO)} and {tagged(NOW)} done", " and done", [WEATHER, Call("now", {})]),
        (tagged(OSLO).removesuffix("\n</tool_call>"), "", [WEATHER]),
        (OSLO, "", [WEATHER]),
        (f"\n[{OSLO}, {NOW}]\n", "", [WEATHER, Call("now", {})]),
        ('{"name": "weather", "parameters": {"city": "Oslo"}}', "", [WEATHER]),
        (f"<|python_tag|>{OSLO}", "", [WEATHER]),
        (f"[TOOL_CALLS][{OSLO}]", "", [WEATHER]),
        (f"[TOOL_CALLS] [{OSLO}]", "", [WEATHER]),
        (f"```json\n{OSLO}\n```", "", [WEATHER]),
        ('{"name": "weather", "arguments": "{\\"city\\": \\"Oslo\\"}"}', "", [WEATHER]),
    ],
)
def test_calls_are_read_in_every_spelling(answer: str, text: str, calls: list[Call]):
    assert read([answer]) == read(list(answer)) == (text, calls)
    judged = read_calls(answer)
    assert judged is not None and len(judged) == len(calls)  # the gate takes it for the same


@pytest.mark.parametrize(
    "answer",
    [
        tagged('{"name": "rm", "arguments": {}}'),
        tagged('{"name": "weather", "arguments": ["Oslo"]}'),
        tagged('{"name": "weather", "arguments": "Oslo"}'),
        tagged('{"name": "weather", "arguments": {"days": NaN}}'),
        tagged('{"name": "weather", "arguments": {"city": '),
        tagged(f"[{OSLO}, 7]"),
        tagged("[" * 5_000),
        f"So: {OSLO}",
        f"{OSLO} it is",
        f"[{OSLO}, {OSLO.replace('weather', 'rm')}]",
        "[Oslo](https://oslo.no) is {not} a call",
        '{"weather": "rain"}',
        "{}",
        "[]",
        " \n",
        "a < b <tool_cal",
        "<tool_call>",
        "</tool_call>",
        "```python\nprint()\n```",
    ],
)
def test_what_is_no_call_stays_text_to_the_last_character(answer: str):
    assert read([answer]) == read(list(answer)) == (answer, [])


def test_without_tools_nothing_is_a_call():
    assert read([tagged(OSLO)], names=()) == (tagged(OSLO), [])


@pytest.mark.parametrize(
    ("parts", "given_out"),
    [
        (["It ", "rains", "."], ["It", " rains", "."]),  # whitespace may belong to a call
        (["1 <", " 2"], ["1", " < 2"]),
        (["Hi <tool", "_call> x"], ["Hi", ""]),
        (["[", "a"], ["", "[a"]),
        (["{", '"a"'], ["", ""]),  # the whole answer may be a call
    ],
)
def test_text_is_held_back_only_where_a_call_may_begin(parts: list[str], given_out: list[str]):
    reader = CallReader(NAMES)
    assert ["".join(str(piece) for piece in reader.push(part)) for part in parts] == given_out


def test_a_call_is_given_out_when_its_tag_is_closed():
    reader = CallReader(NAMES)
    assert [piece for piece in reader.push(f"{tagged(OSLO)}\n") if piece] == [WEATHER]


SHARDS = [
    "<tool_call>",
    "</tool_call>",
    "<tool",
    "[TOOL_CALLS]",
    "<|python_tag|>",
    "```json\n",
    "\n```",
    OSLO,
    NOW,
]
SHARDS += [
    "[",
    "]",
    ",",
    "{",
    "}",
    '"',
    " ",
    "\n",
    "\u2028",
    "x",
    "<",
    OSLO.replace("Oslo", "</tool_call>"),
    tagged(OSLO),
]
answers = st.lists(st.sampled_from(SHARDS) | st.text(max_size=3), max_size=12).map("".join)


@st.composite
def cut(draw: st.DrawFn) -> list[str]:
    """An answer in parts, some of them empty, as tokens are."""
    answer = draw(answers)
    places = sorted(draw(st.lists(st.integers(0, len(answer)), max_size=12)))
    return [answer[start:end] for start, end in zip([0, *places], [*places, len(answer)], strict=True)]


@given(cut())
@settings(max_examples=400)
def test_however_an_answer_is_cut_it_says_the_same(parts: list[str]):
    answer = "".join(parts)
    assert read(parts) == read([answer]) == read(list(answer))


@given(answers)
@settings(max_examples=200)
def test_no_text_is_lost(answer: str):
    text, calls = read([answer])
    if not calls:
        assert text == answer
    for call in calls:  # what is missing from the text is the calls and whitespace around them
        assert f'"{call.name}"' in answer
    left = iter(answer)
    assert all(letter in left for letter in text)  # in the same order


@given(answers)
def test_what_may_be_calls_may_be_so_from_its_first_letter_on(answer: str):
    if may_be_json_calls(answer):
        assert all(may_be_json_calls(answer[:end]) for end in range(len(answer)))


values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(st.dictionaries(st.text(max_size=3), values, max_size=3), min_size=1, max_size=3), st.booleans()
)
def test_calls_that_a_template_would_write_are_read_back(arguments: list[dict[str, Any]], ascii_only: bool):
    calls = [Call("weather", each) for each in arguments]
    spelt = [{"name": call.name, "arguments": call.arguments} for call in calls]
    answer = "\n".join(tagged(json.dumps(each, ensure_ascii=ascii_only)) for each in spelt)
    if "</tool_call>" not in json.dumps(arguments):
        assert read([f"Well. {answer}"]) == ("Well.", calls)
    assert read([json.dumps(spelt, ensure_ascii=ascii_only)]) == ("", calls)
