"""A pattern must match all of an answer."""

import pytest

from ft_assets.evaluation.metrics.pattern import matches


@pytest.mark.parametrize(
    ("answer", "well_formed"),
    [("Return it.\n", True), ("Return it. And more", False), ("Return it.\nThen.", False), ("it.", False)],
)
def test_a_pattern_must_match_in_full(answer: str, well_formed: bool) -> None:
    assert matches(answer, r"[A-Z].*[.]") == well_formed
