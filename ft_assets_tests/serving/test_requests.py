"""Request bodies: what is taken, what is refused, and that a refusal names the field."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ft_assets.serving.problems import invalid_body
from ft_assets.serving.requests import MAX_TEXT, ChatRequest, FeedbackRequest, TextRequest

CHAT = {"model": "docstrings", "messages": [{"role": "user", "content": "hello"}]}
FEEDBACK = {"inference_id": "chat-1", "idempotency_key": "key-1"}


def parse(shape, body):
    return shape.model_validate_json(json.dumps(body))


def test_fields_that_nobody_knows_are_ignored():
    parse(ChatRequest, {**CHAT, "metadata": {"a": [1]}, "parallel_tool_calls": True})


def test_what_is_not_served_may_be_sent_as_clients_send_it_by_default():
    plain = {
        "response_format": {"type": "text"},
        "logit_bias": {},
        "presence_penalty": 0,
        "frequency_penalty": 0.0,
    }
    parse(ChatRequest, {**CHAT, **plain})
    parse(ChatRequest, {**CHAT, **dict.fromkeys(plain)})
    parse(TextRequest, {"model": "m", "prompt": "x", "echo": False, "suffix": None, "best_of": 1})


@pytest.mark.parametrize(
    ("shape", "change", "said"),
    [
        (
            ChatRequest,
            {"stop": ["a"] * 5},
            "stop: a text of 1 to 100 characters, or a list of at most 4 of them",
        ),
        (ChatRequest, {"stop": 7}, "stop: a text of 1 to 100 characters, or a list of at most 4 of them"),
        (
            ChatRequest,
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            'messages.0.content: a text, or a list of parts {"type": "text", "text": "…"}; images, sound',
        ),
        (
            ChatRequest,
            {"messages": [{"role": "robot", "content": "x"}]},
            "messages.0.role: Input should be 'system', 'developer', 'user', 'assistant' or 'tool'",
        ),
        (
            ChatRequest,
            {"response_format": {"type": "json_object"}},
            "response_format: nothing holds the model to",
        ),
        (ChatRequest, {"response_format": "json"}, "response_format: nothing holds the model to"),
        (ChatRequest, {"presence_penalty": 0.5}, "presence_penalty: only 0 is served"),
        (ChatRequest, {"frequency_penalty": -1}, "frequency_penalty: only 0 is served"),
        (ChatRequest, {"logit_bias": {"50256": -100}}, "logit_bias: none is served"),
        (ChatRequest, {"modalities": ["text", "audio"]}, 'modalities: only ["text"] is served'),
        (ChatRequest, {"parallel_tool_calls": False}, "parallel_tool_calls: nothing holds the model"),
        (ChatRequest, {"functions": [{"name": "f"}]}, "functions: send `tools`"),
        (ChatRequest, {"function_call": {"name": "f"}}, "function_call: send `tool_choice`"),
        (TextRequest, {"prompt": ["a", "b"]}, "prompt: a text, or a list of one"),
        (TextRequest, {"echo": True}, "echo: the prompt is not repeated"),
        (TextRequest, {"suffix": "x"}, "suffix: texts are gone on with"),
        (TextRequest, {"best_of": 3}, "best_of: one answer is made"),
    ],
)
def test_a_refusal_says_what_to_send_instead(shape: type, change: dict, said: str):
    body = {"model": "m", "prompt": "x"} if shape is TextRequest else CHAT
    with pytest.raises(ValidationError) as refusal:
        parse(shape, {**body, **change})
    assert invalid_body(refusal.value).message.startswith(said)


def test_the_newer_name_of_the_token_limit_wins():
    assert parse(ChatRequest, {**CHAT, "max_tokens": 3, "max_completion_tokens": 5}).limit() == 5


def test_text_parts_are_joined_and_developers_are_the_system():
    turn = {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    message = parse(ChatRequest, {**CHAT, "messages": [turn]}).messages[0].message()
    assert (message.role, message.content) == ("system", "ab")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": "hello"}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
            "messages.0",
        ),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"seed": 2**63}, "seed"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"tools": [{"a": float("nan")}]}, "tools.0"),
        ({"tools": [{}] * 129}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "now"}}}, "tool_choice"),
        ({"tool_choice": "always"}, "tool_choice"),
        ({"stream": "yes"}, "stream"),
        ({"model": None}, "model"),
        ({"user": 7}, "user"),
    ],
)
def test_a_wrong_value_is_refused_and_its_field_named(change: dict, param: str):
    with pytest.raises(ValidationError) as refusal:
        parse(ChatRequest, {**CHAT, **change})
    problem = invalid_body(refusal.value)
    assert problem.status == 400
    assert problem.param is not None and problem.param.startswith(param)


def test_only_offered_tools_with_a_name_may_be_called():
    named = {"type": "function", "function": {"name": "now"}}
    tools = [named, {}, {"function": None}, {"function": {"name": 7}}]
    assert parse(ChatRequest, {**CHAT, "tools": tools}).tool_names() == {"now"}
    assert parse(ChatRequest, {**CHAT, "tools": tools, "tool_choice": "none"}).tool_names() == set()


@pytest.mark.parametrize(("given", "stored"), [(True, "up"), (False, "down"), ("up", "up"), ("down", "down")])
def test_thumbs_are_stored_in_one_form(given: object, stored: str):
    assert parse(FeedbackRequest, {**FEEDBACK, "kind": "thumb", "value": given}).value == stored


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("thumb", None),
        ("thumb", 1),
        ("thumb", "sideways"),
        ("edit", ""),
        ("edit", " \n"),
        ("edit", None),
        ("edit", True),
        ("demonstration", "x" * (MAX_TEXT + 1)),
        ("comment", ["x"]),
        ("comment", "a\0b"),
        ("escalation", ""),
        ("escalation", {"a": 1}),
    ],
)
def test_a_value_that_does_not_fit_its_kind_is_refused(kind: str, value: object):
    with pytest.raises(ValidationError) as refusal:
        parse(FeedbackRequest, {**FEEDBACK, "kind": kind, "value": value})
    assert invalid_body(refusal.value).param == "value"


def test_an_unknown_kind_is_reported_as_such():
    with pytest.raises(ValidationError) as refusal:
        parse(FeedbackRequest, {**FEEDBACK, "kind": "praise", "value": {"a": 1}})
    assert invalid_body(refusal.value).param == "kind"


def test_an_escalation_needs_no_words():
    assert parse(FeedbackRequest, {**FEEDBACK, "kind": "escalation"}).value is None


@pytest.mark.parametrize("key", ["", "x" * 129, "two words", "nul\x00"])
def test_an_idempotency_key_is_short_and_printable(key: str):
    with pytest.raises(ValidationError):
        parse(FeedbackRequest, {**FEEDBACK, "kind": "thumb", "value": True, "idempotency_key": key})


@pytest.mark.parametrize("given", ["", "x" * 41, "chat 1", "chat\0"])
def test_an_inference_id_is_short_and_printable(given: str):
    with pytest.raises(ValidationError):
        parse(FeedbackRequest, {**FEEDBACK, "kind": "thumb", "value": True, "inference_id": given})


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(ChatRequest.model_fields, any_json)), st.data())
def test_no_json_whatever_breaks_the_parser(body: dict, data: st.DataObject):
    shape = data.draw(st.sampled_from([ChatRequest, FeedbackRequest]))
    for content in (json.dumps(body), json.dumps({**FEEDBACK, "kind": "thumb", **body})):
        try:
            shape.model_validate_json(content)
        except ValidationError as refusal:
            assert 400 <= invalid_body(refusal).status < 500
