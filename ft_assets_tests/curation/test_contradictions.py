"""Different answers to one prompt are settled by the rule that the recipe states."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from ft_assets.curation.contradictions import find_contradictions
from ft_assets.curation.signatures import sign
from ft_assets.recipe_data import Curation
from ft_assets.sources.example import Example, Message, to_table
from ft_assets_tests.curation.rows import chat

_START = datetime(2026, 1, 1, tzinfo=UTC)
Policy = Literal["newest", "oldest", "reject", "keep"]


def row(answer: str, day: int, prompt: str = "How long is the warranty?", **fields: Any) -> Example:
    return chat(prompt, answer, created_at=_START + timedelta(days=day), **fields)


def settled(rows: list[Example], policy: Policy) -> dict[int, str]:
    recipe = Curation(contradictions=policy)
    return find_contradictions(sign(to_table(rows), recipe), recipe)


@pytest.mark.parametrize(
    ("policy", "dropped"), [("newest", {0, 2}), ("oldest", {0, 1}), ("reject", {0, 1, 2}), ("keep", set())]
)
def test_the_policy_says_which_row_stays(policy: Policy, dropped: set[int]) -> None:
    rows = [
        row("Two years.", 2),
        row("Three years.", 3),
        row("One year.", 1),
        row("Blue.", 1, "Which colour?"),
    ]
    assert settled(rows, policy).keys() == dropped


def test_a_correction_is_newer_than_any_other_row() -> None:
    assert settled([row("Two years.", 1, kind="correction"), row("One year.", 9)], "newest").keys() == {1}
    assert settled([row("Two years.", 1, kind="correction"), row("One year.", 9)], "oldest").keys() == {1}


def test_the_detail_names_the_row_that_stays() -> None:
    winner = row("Three years.", 3)
    assert settled([row("Two years.", 2), winner], "newest")[0].startswith(winner.id)


def test_the_same_answer_in_other_case_or_space_is_no_contradiction() -> None:
    assert (
        settled([row("Two years.", 1), row("two  years.", 2, "how long is  the warranty?")], "reject") == {}
    )


def test_of_equal_moments_the_later_row_is_newer() -> None:
    assert settled([row("Two years.", 1), row("Three years.", 1)], "newest").keys() == {0}
    assert settled([row("Two years.", 1), row("Three years.", 1)], "oldest").keys() == {1}


def test_prompts_that_differ_in_a_sign_are_different_prompts() -> None:
    assert settled([row("4", 1, "2 + 2"), row("0", 1, "2 - 2")], "reject") == {}


def test_judged_rows_do_not_contradict() -> None:
    lost = Message(role="assistant", content="Never.")
    rows = [row("Two years.", 1, rejected=lost), row("One year.", 2, desirable=False), row("Four years.", 3)]
    assert settled(rows, "reject") == {}
