"""Labels: right or wrong a row, and the figures of each label as scikit-learn gives them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support

from ft_assets.evaluation.metrics.label import classify
from ft_assets_tests.evaluation.metrics.rows import answer_score

LABELS = ["Bug", "feature request", "other"]
METRIC = {"kind": "label", "labels": LABELS}


@pytest.mark.parametrize(
    ("reference", "answer", "found"),
    [
        ("bug", " BUG\n", 1.0),
        ("Feature  request", "feature request", 1.0),
        ("bug", "other", 0.0),
        ("bug", "It is a bug.", 0.0),
        ("none of them", "bug", None),
        ("none of them", "", None),
    ],
)
def test_an_answer_is_the_label_or_not(reference: str, answer: str, found: float | None) -> None:
    assert answer_score(METRIC, reference, answer) == found


@given(
    st.lists(
        st.tuples(st.sampled_from(LABELS), st.sampled_from([*LABELS, "what", ""])), min_size=1, max_size=40
    )
)
def test_precision_recall_f1_and_support_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    references, answers = zip(*pairs, strict=True)
    found = classify(answers, references, LABELS)
    theirs = precision_recall_fscore_support(references, answers, labels=LABELS, zero_division=0)
    ours = zip(*((one.precision, one.recall, one.f1, one.support) for one in found.scores), strict=True)
    for mine, other in zip(ours, theirs, strict=True):
        assert list(mine) == pytest.approx(list(other))
    assert sum(map(sum, found.confusion.values())) == len(pairs)
    for at, label in enumerate(LABELS):
        assert found.confusion[label][at] == sum(pair == (label, label) for pair in pairs)
