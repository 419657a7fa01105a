"""Metrics of one answer: bounds, and the worst for nothing at all."""

from hypothesis import given
from hypothesis import strategies as st

from ft_assets.evaluation.metrics import chrf, exact, format_ok, loss_per_token


def test_a_copy_is_the_best_and_an_empty_answer_the_worst() -> None:
    assert chrf("Return the sum.", "Return the sum.") == 100.0
    assert chrf("", "Return the sum.") == 0.0
    assert chrf(" \n", "Return the sum.") == 0.0
    assert not exact("", "")
    assert exact(" Return  the sum.\n", "Return the sum.")
    assert format_ok("", "[A-Z].*") is False


def test_a_format_must_match_in_full_and_may_be_absent() -> None:
    assert format_ok("Return it.\n", r"[A-Z].*[.]") is True
    assert format_ok("Return it. And more", r"[A-Z].*[.]") is False
    assert format_ok("Return it.\nThen.", r"[A-Z].*[.]") is False
    assert format_ok("anything", None) is None


def test_loss_is_a_mean_over_tokens() -> None:
    assert loss_per_token(6.0, 4) == 1.5


@given(st.text(max_size=40), st.text(min_size=1, max_size=40))
def test_chrf_stays_between_0_and_100(answer: str, reference: str) -> None:
    assert 0.0 <= chrf(answer, reference) <= 100.0
