"""Functions of the recipe's author, good and bad."""

from typing import Any

import pytest

from ft_assets.errors import WrongInput
from ft_assets_tests.evaluation.metrics.rows import row, score

HERE = "ft_assets_tests.evaluation.metrics.functions"


def metric(function: str, **settings: Any) -> dict[str, Any]:
    return {"kind": "python", "name": "mine", "function": function, "margin": 1, **settings}


def test_it_is_given_prompt_answer_and_reference() -> None:
    assert score(metric(f"{HERE}:whole"), [(row("r", prompt="p"), "a")]) == [111.0]


def test_what_is_no_number_scores_the_worst_and_is_told_once() -> None:
    told: list[str] = []
    answers = ["raise", "exit", "nan", "inf", "none", "text", "below", "fine"]
    found = score(metric(f"{HERE}:broken"), [(row("r"), answer) for answer in answers], told)
    assert found == [0.0] * 7 + [5.0]
    (line,) = told
    assert "mine" in line and "LookupError: no such key" in line


def test_where_less_is_better_the_worst_is_the_most() -> None:
    found = score(
        metric(f"{HERE}:length", up=False, worst=20.0),
        [(row("r"), "x" * 30), (row("r"), "x"), (row("r"), "")],
    )
    assert found == [20.0, 1.0, 20.0]


@pytest.mark.parametrize(
    "function", ["no_such_package:f", f"{HERE}:no_such_function", f"{HERE}:LENGTH", "..:f", "json.nothing:f"]
)
def test_what_cannot_be_imported_is_told_before_anything_is_measured(function: str) -> None:
    with pytest.raises(WrongInput, match="mine"):
        score(metric(function), [])
