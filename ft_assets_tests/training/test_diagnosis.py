"""Curves of each kind get their name."""

import pytest

from ft_assets.training.diagnosis import diagnose

TRAIN = [(1, 3.0), (2, 2.5), (4, 2.0), (6, 1.0), (8, 0.5)]


@pytest.mark.parametrize(
    ("validation", "stopped", "said"),
    [
        (
            [(0, 3.0), (4, 2.0), (8, 2.4)],
            "early: …",
            "overfitting after step 4: .* while the train loss went on falling",
        ),
        ([(0, 3.0), (4, 2.5), (8, 2.0)], "finished", "underfitting"),
        ([(0, 3.0), (4, 2.0), (8, 2.001)], "finished", "levelled off at a validation loss of 2.0000"),
        ([(0, 3.0), (4, 3.1), (8, 3.2)], "early: …", "learnt nothing"),
        ([(0, 3.0)], "finished", "too few"),
        ([], "finished", "too few"),
        ([(0, 3.0), (4, 2.0)], "diverged: the loss was not finite", "diverged: the loss"),
        ([(0, 3.0), (4, 2.0)], "budget: the candidate has cost 1 EUR", "budget: the candidate"),
    ],
)
def test_the_curve_is_named(validation: list, stopped: str, said: str) -> None:
    import re

    assert re.search(said, diagnose(TRAIN, validation, stopped))
