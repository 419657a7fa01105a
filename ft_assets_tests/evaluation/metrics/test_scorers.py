"""What holds for every metric: bounds, the worst for nothing, and nulls that the row alone decides."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ft_assets.evaluation.comparison import result_schema
from ft_assets.evaluation.measure import measures
from ft_assets_tests.evaluation.metrics.rows import answer_score, call, evaluation, row

PLAIN: list[dict[str, Any]] = [
    {"kind": "chrf"},
    {"kind": "exact"},
    {"kind": "rouge_l"},
    {"kind": "pattern", "pattern": ".*"},
    {"kind": "json_schema", "schema": {}},
    {"kind": "tool_calls"},
    {"kind": "label", "labels": ["yes", "no"]},
    {"kind": "python", "function": "ft_assets_tests.evaluation.metrics.functions:length", "margin": 1},
]


@pytest.mark.parametrize("metric", PLAIN, ids=lambda metric: metric["kind"])
@pytest.mark.parametrize("nothing", ["", " \n\t"])
def test_an_empty_answer_scores_the_worst(metric: dict[str, Any], nothing: str) -> None:
    asked = row("yes", calls=[call("look", {})])
    if metric["kind"] == "label":
        asked = row("yes")
    assert answer_score(metric, asked, nothing) == 0.0


@pytest.mark.parametrize("metric", PLAIN, ids=lambda metric: metric["kind"])
@given(answer=st.text(max_size=60), reference=st.text(max_size=60), calls=st.booleans())
def test_a_score_lies_within_bounds_and_its_absence_depends_on_the_row(
    metric: dict[str, Any], answer: str, reference: str, calls: bool
) -> None:
    asked = row(reference, calls=[call("look", {})] if calls else None)
    found, of_nothing = answer_score(metric, asked, answer), answer_score(metric, asked, "")
    assert (found is None) == (of_nothing is None)
    assert found is None or 0.0 <= found <= 100.0
    assert of_nothing in (None, 0.0)


def test_every_metric_has_a_column_in_the_order_of_the_recipe() -> None:
    names = result_schema(measures(evaluation(*PLAIN))).names
    assert names[-9:] == ["loss", *(metric["kind"] for metric in PLAIN)]


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ([{"kind": "chrf"}, {"kind": "chrf"}], "chrf is there twice"),
        ([{"kind": "chrf", "name": "loss"}], "loss is there twice"),
        ([{"kind": "chrf", "name": "answer"}], "results have already"),
        ([{"kind": "label", "labels": ["Yes", " yes"]}], "yes is there twice"),
        ([{"kind": "label", "labels": ["yes", " "]}], "empty label"),
        ([{"kind": "pattern", "pattern": "("}], "not a regular expression"),
        ([{"kind": "python", "function": "no colon", "margin": 1}], "match pattern"),
        ([{"kind": "python", "function": "a:b", "margin": 1, "worst": float("nan")}], "finite"),
        ([{"kind": "bleu"}], "bleu"),
    ],
)
def test_a_metric_that_cannot_be_measured_is_refused(metrics: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        evaluation(*metrics)
