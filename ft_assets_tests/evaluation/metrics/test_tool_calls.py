"""Calls are compared by what they say, in whatever spelling."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.evaluation.metrics.tool_calls import read_calls, reference_calls, same_calls
from ft_assets_tests.evaluation.metrics.rows import answer_score, call, row

WEATHER = {"name": "weather", "arguments": {"city": "Oslo", "days": 2}}
TIME = {"name": "time", "arguments": {}}
REFERENCE = [call("weather", '{"days":2,"city":"Oslo"}')]


def tagged(*calls: Any) -> str:
    return "\n".join(f"<tool_call>\n{json.dumps(each)}\n</tool_call>" for each in calls)


@pytest.mark.parametrize(
    "answer",
    [
        tagged(WEATHER),
        f"Let me look.\n{tagged(WEATHER)}",
        tagged(WEATHER).removesuffix("</tool_call>"),
        tagged([WEATHER]),
        json.dumps(WEATHER),
        json.dumps([WEATHER]),
        f"```json\n{json.dumps(WEATHER)}\n```",
        json.dumps({"name": "weather", "parameters": {"days": 2.0, "city": "Oslo"}}),
        json.dumps(REFERENCE),
        json.dumps(call("weather", {"city": "Oslo", "days": 2})),
    ],
)
def test_every_spelling_of_the_right_call_is_right(answer: str) -> None:
    assert answer_score({"kind": "tool_calls"}, row("", calls=REFERENCE), answer) == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        tagged({**WEATHER, "name": "wether"}),
        tagged({"name": "weather", "arguments": {"city": "Oslo"}}),
        tagged({"name": "weather", "arguments": {"city": "Oslo", "days": "2"}}),
        tagged({"name": "weather", "arguments": {"city": "Oslo", "days": 2, "unit": "C"}}),
        tagged(WEATHER, WEATHER),
        tagged(WEATHER, TIME),
        f"Sure: {json.dumps(WEATHER)}",
        "<tool_call>\n{'name': 'weather'}\n</tool_call>",
        "<tool_call>" + "[" * 100_000,
        "It will rain in Oslo.",
        "[]",
        "7",
    ],
)
def test_anything_else_is_wrong(answer: str) -> None:
    assert answer_score({"kind": "tool_calls"}, row("", calls=REFERENCE), answer) == 0.0


def test_true_is_not_one() -> None:
    assert not same_calls(
        json.dumps({"name": "f", "arguments": {"a": True}}),
        reference_calls('[{"name":"f","arguments":{"a":1}}]'),
    )


def test_calls_of_one_turn_are_parallel_and_come_in_any_order() -> None:
    asked = row("", calls=[call("weather", WEATHER["arguments"]), call("time", "{}")])
    assert answer_score({"kind": "tool_calls"}, asked, tagged(TIME, WEATHER)) == 1.0
    assert answer_score({"kind": "tool_calls"}, asked, tagged(TIME)) == 0.0


@pytest.mark.parametrize("calls", [None, [], [{"function": {"arguments": "{}"}}], ["weather"]])
def test_it_applies_only_to_rows_whose_reference_calls(calls: list[Any] | None) -> None:
    assert answer_score({"kind": "tool_calls"}, row("No.", calls=calls), tagged(WEATHER)) is None


values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.floats(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_the_order_of_keys_says_nothing(arguments: dict[str, Any]) -> None:
    turned = dict(reversed(arguments.items()))
    reference = reference_calls(json.dumps([call("f", json.dumps(turned))]))
    assert same_calls(json.dumps({"name": "f", "arguments": arguments}), reference)


@given(st.text(max_size=80))
def test_no_text_is_a_crash(text: str) -> None:
    assert read_calls(text) is None or isinstance(read_calls(text), list)


def test_people_see_the_calls_of_a_row() -> None:
    asked = row("One moment.", calls=REFERENCE)
    assert asked.reference == (
        'One moment.\n<tool_call>\n{"name": "weather", "arguments": {"days": 2, "city": "Oslo"}}\n</tool_call>'
    )
    assert read_calls(asked.reference) == reference_calls(asked.tool_calls)
