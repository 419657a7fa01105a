"""Overlap of texts: against the libraries that the field cites, and by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from ft_assets.evaluation.metrics.overlap import chrf, exact, rouge_l
from ft_assets_tests.evaluation.metrics.rows import answer_score


def test_a_copy_is_the_best() -> None:
    assert chrf("Return the sum.", "Return the sum.") == 100.0
    assert rouge_l("return THE sum", "Return the sum.") == 100.0
    assert exact(" Return  the sum.\n", "Return the sum.")
    assert not exact("Return the sum", "Return the sum.")


def test_rouge_l_by_hand() -> None:
    # Lin 2004: "police kill the gunman" to "police killed the gunman": 3 of 4 words, in order.
    assert rouge_l("police kill the gunman", "police killed the gunman") == 75.0
    assert rouge_l("the gunman kill police", "police killed the gunman") == 50.0
    assert rouge_l("夏 の 海", "冬 の 海") == pytest.approx(200 / 3)


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=12), st.lists(st.sampled_from("abcd"), max_size=12)
)
def test_rouge_l_is_that_of_the_rouge_score_package(wanted: list[str], said: list[str]) -> None:
    reference, answer = " ".join(wanted), " ".join(said)
    theirs = RougeScorer(["rougeL"]).score(reference, answer)["rougeL"].fmeasure
    assert rouge_l(answer, reference) == pytest.approx(100 * theirs)


def test_rouge_l_needs_a_reference_that_has_words() -> None:
    assert answer_score({"kind": "rouge_l"}, "?!", "what") is None
    assert answer_score({"kind": "rouge_l"}, "what?", "?!") == 0.0
