"""Planted leaks, by the way in which they are disguised: what is always found must stay so."""

import pytest

from benchmarks.leaks import chat_rows, docstring_rows, measure_rows

_PLANTED = 40
_ROWS = 200
_ALWAYS = [
    "exact",
    "substituted_1%",
    "substituted_5%",
    "substituted_10%",
    "inserted_10%",
    "deleted_10%",
    "upper_case",
    "full_width",
    "look_alikes",
    "zero_width",
    "combining_marks",
    "decomposed",
    "white_space",
    "another_answer",
    "embedded_question",
]

Measured = dict[str, dict[str, int]]


@pytest.fixture(scope="module")
def docstrings() -> Measured:
    return measure_rows(docstring_rows(_ROWS), _PLANTED)


@pytest.fixture(scope="module")
def chats() -> Measured:
    return measure_rows(chat_rows(_ROWS), _PLANTED)


def always_found(measured: Measured) -> set[str]:
    every = {"planted": _PLANTED, "found_by_search": _PLANTED, "found_by_ledger": _PLANTED}
    return {disguise for disguise, counts in measured.items() if counts == every}


def test_disguised_functions_are_found_by_search_and_by_ledger(docstrings: Measured) -> None:
    assert set(_ALWAYS) - always_found(docstrings) == set()


def test_disguised_conversations_are_found_by_search_and_by_ledger(chats: Measured) -> None:
    edits = {f"substituted_{percent}%" for percent in (15, 20, 25, 30)} | {"inserted_30%", "deleted_30%"}
    always = {*_ALWAYS, *edits, "reordered_turns", "answer_only"}
    assert always - always_found(chats) == set()


@pytest.mark.parametrize("kind", ["docstrings", "chats"])
def test_next_to_no_unrelated_row_is_taken_for_a_leak(kind: str, request: pytest.FixtureRequest) -> None:
    counts = request.getfixturevalue(kind)["unrelated"]
    assert max(counts["found_by_search"], counts["found_by_ledger"]) <= 0.05 * _PLANTED
