"""Each of the field's shapes says the same conversation; a mixed file loses no row."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ft_assets.recipe_data import FileSource
from ft_assets.sources.example import Example
from ft_assets.sources.readers import read_source
from ft_assets_tests.sources.read import TURNS, read_bytes

_CALL = {"name": "add", "arguments": '{"a": 1}'}
_CALLS = [{"function": _CALL, "type": "function"}]

_GOOD: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "messages": ({"messages": TURNS}, [("user", "Hello?"), ("assistant", "Hello there.")]),
    "messages of several turns": (
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                *TURNS,
                {
                    "role": "User",
                    "content": [{"type": "text", "text": "And "}, {"type": "text", "text": "you?"}],
                },
                {"role": "assistant", "content": "Fine.", "name": "x", "tool_calls": None},
            ]
        },
        [
            ("system", "Be brief."),
            ("user", "Hello?"),
            ("assistant", "Hello there."),
            ("user", "And you?"),
            ("assistant", "Fine."),
        ],
    ),
    "alpaca": (
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        [("user", "Add.\n\n1 2"), ("assistant", "3")],
    ),
    "alpaca without input": (
        {"instruction": "Add.", "input": "", "output": "3", "text": "…"},
        [("user", "Add."), ("assistant", "3")],
    ),
    "alpaca with system and history": (
        {"instruction": "More.", "output": "3", "system": "Be brief.", "history": [["Add.", "2"]]},
        [
            ("system", "Be brief."),
            ("user", "Add."),
            ("assistant", "2"),
            ("user", "More."),
            ("assistant", "3"),
        ],
    ),
    "sharegpt": (
        {
            "system": "Be brief.",
            "conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Hi."}],
        },
        [("system", "Be brief."), ("user", "Hi?"), ("assistant", "Hi.")],
    ),
    "sharegpt with role and content": (
        {"conversations": TURNS},
        [("user", "Hello?"), ("assistant", "Hello there.")],
    ),
    "prompt_completion": (
        {"prompt": "[Hi", "completion": "there]"},
        [("user", "[Hi"), ("assistant", "there]")],
    ),
    "prompt_completion of turns": (
        {"prompt": [{"role": "system", "content": "Be."}, TURNS[0]], "completion": TURNS[1:]},
        [("system", "Be."), ("user", "Hello?"), ("assistant", "Hello there.")],
    ),
}


def _one(folder: Path, row: dict[str, Any], **settings: Any) -> Example:
    (example,), rejected = read_bytes(folder, "a.jsonl", json.dumps(row).encode(), **settings)
    assert rejected == []
    return example


@pytest.mark.parametrize("name", _GOOD)
@pytest.mark.parametrize("forced", [False, True])
def test_each_shape_is_read(tmp_path: Path, name: str, forced: bool) -> None:
    row, said = _GOOD[name]
    example = _one(tmp_path, row, format=name.split()[0] if forced else "auto")
    assert [(turn.role, turn.content) for turn in example.messages] == said
    assert (example.rejected, example.desirable) == (None, None)


_PREFERENCES: dict[str, dict[str, Any]] = {
    "texts": {"prompt": "Hello?", "chosen": "Hello there.", "rejected": "What?"},
    "turns": {
        "prompt": TURNS[:1],
        "chosen": TURNS[1:],
        "rejected": [{"role": "assistant", "content": "What?"}],
    },
    "implicit prompt": {"chosen": TURNS, "rejected": [TURNS[0], {"role": "assistant", "content": "What?"}]},
    "prompt said twice": {
        "prompt": "Hello?",
        "chosen": TURNS,
        "rejected": [TURNS[0], {"role": "assistant", "content": "What?"}],
        "messages": TURNS,
        "score_chosen": 8.5,
    },
}


@pytest.mark.parametrize("name", _PREFERENCES)
def test_preferences_keep_the_worse_answer(tmp_path: Path, name: str) -> None:
    example = _one(tmp_path, _PREFERENCES[name])
    assert (example.prompt, example.answer) == ("Hello?", "Hello there.")
    assert example.rejected and (example.rejected.role, example.rejected.content) == ("assistant", "What?")


def test_a_prompt_that_answers_repeat_behind_a_system_turn_is_said_once(tmp_path: Path) -> None:
    chosen = [{"role": "system", "content": "Be brief."}, *TURNS]
    rejected = [*chosen[:2], {"role": "assistant", "content": "What?"}]
    example = _one(tmp_path, {"prompt": "Hello?", "chosen": chosen, "rejected": rejected})
    assert [turn.role for turn in example.messages] == ["system", "user", "assistant"]


def test_preferences_over_a_long_conversation(tmp_path: Path) -> None:
    more = [*TURNS, {"role": "user", "content": "And?"}]
    row = {
        "chosen": [*more, {"role": "assistant", "content": "Yes."}],
        "rejected": [*more, {"role": "assistant", "content": "No."}],
    }
    example = _one(tmp_path, row)
    assert (len(example.messages), example.rejected and example.rejected.content) == (4, "No.")


@pytest.mark.parametrize(
    ("label", "desirable"),
    [(True, True), (False, False), ("true", True), ("False", False), (1, True), (0, False), (1.0, True)],
)
def test_kto_rows_say_whether_the_answer_was_liked(tmp_path: Path, label: object, desirable: bool) -> None:
    assert _one(tmp_path, {"prompt": "a", "completion": "b", "label": label}).desirable is desirable


@pytest.mark.parametrize(
    "turn",
    [
        {"role": "assistant", "content": None, "tool_calls": _CALLS},
        {"role": "assistant", "content": None, "tool_calls": json.dumps(_CALLS)},
        {"role": "assistant", "content": "", "function_call": _CALL},
        {"from": "function_call", "value": json.dumps(_CALL)},
    ],
)
@pytest.mark.parametrize("field", ["messages", "conversations"])
def test_tool_calls_are_kept_as_canonical_json(tmp_path: Path, turn: dict[str, Any], field: str) -> None:
    turns = [TURNS[0], turn, {"from": "observation", "value": "42"}, TURNS[1]]
    example = _one(tmp_path, {field: turns})
    assert [each.role for each in example.messages] == ["user", "assistant", "tool", "assistant"]
    assert example.messages[1].tool_calls == json.dumps(_CALLS, sort_keys=True, separators=(",", ":"))
    assert example.messages[1].content == ""


_WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "pair that differs early": (
        {"chosen": TURNS, "rejected": [{"role": "user", "content": "Other?"}, TURNS[1]]},
        "pair_differs_early",
        "before the last turn",
    ),
    "pair of different lengths": (
        {"prompt": "a", "chosen": "b", "rejected": TURNS},
        "pair_differs_early",
        "before the last turn",
    ),
    "worse answer by the user": (
        {"prompt": "a", "chosen": "b", "rejected": TURNS[:1]},
        "no_answer",
        "field `rejected`",
    ),
    "texts without a prompt": ({"chosen": "b", "rejected": "c"}, "no_prompt", "only an answer"),
    "label as a word": ({"prompt": "a", "completion": "b", "label": "good"}, "wrong_type", "field `label`"),
    "label as a list": ({"prompt": "a", "completion": "b", "label": [[]]}, "wrong_type", "field `label`"),
    "completion as a number": ({"prompt": "a", "completion": 3}, "wrong_type", "field `completion`"),
    "history as text": ({"instruction": "a", "output": "b", "history": "c"}, "wrong_type", "field `history`"),
    "input as a list": ({"instruction": "a", "output": "b", "input": ["c"]}, "wrong_type", "field `input`"),
    "human's last word": ({"conversations": [{"from": "human", "value": "a"}]}, "no_answer", "end with"),
    "a call that is none": (
        {"conversations": [{"from": "function_call", "value": "f()"}]},
        "not_json",
        "[0].value",
    ),
    "a call without a name": (
        {"conversations": [{"from": "function_call", "value": "{}"}]},
        "broken_tool_call",
        "conversations[0].value",
    ),
}


@pytest.mark.parametrize("name", _WRONG)
def test_what_a_shape_cannot_say_is_rejected(tmp_path: Path, name: str) -> None:
    row, reason, words = _WRONG[name]
    examples, (bad,) = read_bytes(tmp_path, "a.jsonl", json.dumps(row).encode())
    assert examples == []
    assert bad.reason == reason and words in bad.detail, bad


def _mixed(folder: Path) -> Path:
    rows = [row for row, _ in _GOOD.values()]
    rows += [*_PREFERENCES.values(), {"prompt": "a", "completion": "b", "label": True}, {"nothing": 1}]
    path = folder / "mixed.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


def test_a_mixed_file_loses_no_row_and_its_shapes_are_counted(tmp_path: Path) -> None:
    reading = read_source(FileSource(kind="file", path=str(_mixed(tmp_path)), license="MIT"))
    rows = list(reading)
    assert Counter(type(row).__name__ for row in rows) == {"Example": 14, "Rejected": 1}
    assert reading.shapes == {
        "messages": 2,
        "alpaca": 3,
        "sharegpt": 2,
        "prompt_completion": 2,
        "preference": 4,
        "kto": 1,
    }


def test_a_forced_shape_rejects_the_others(tmp_path: Path) -> None:
    source = FileSource(kind="file", path=str(_mixed(tmp_path)), license="MIT", format="prompt_completion")
    reading = read_source(source)
    rows = list(reading)
    assert reading.shapes == {"prompt_completion": 2}
    others = Counter(row.reason for row in rows if not isinstance(row, Example))
    # A KTO row has a prompt and a completion as well, but nobody may have liked it.
    assert others == {"other_shape": 12, "unknown_shape": 1}


def test_a_forced_shape_is_taken_from_a_row_that_has_several(tmp_path: Path) -> None:
    example = _one(tmp_path, _PREFERENCES["prompt said twice"], format="messages")
    assert example.rejected is None


def test_a_system_field_comes_first_unless_the_turns_have_one(tmp_path: Path) -> None:
    example = _one(tmp_path, {"messages": TURNS, "system": "Be brief."})
    assert [turn.role for turn in example.messages] == ["system", "user", "assistant"]
    turns = [{"role": "system", "content": "Be long."}, *TURNS]
    example = _one(tmp_path, {"messages": turns, "system": "Be brief."})
    assert [turn.content for turn in example.messages][:2] == ["Be long.", "Hello?"]


def test_an_assistant_that_only_calls_a_tool_needs_no_content(tmp_path: Path) -> None:
    example = _one(tmp_path, {"messages": [TURNS[0], {"role": "assistant", "tool_calls": _CALLS}]})
    assert example.answer == "" and example.messages[-1].tool_calls
