"""Recognisers see through disguises, and what they find is cut out where it was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.curation.pii.view import View


@pytest.mark.parametrize(
    ("original", "plain"),
    [
        ("４１１１　１１１１", "4111 1111"),
        ("٠٣٠ ١٢٣", "030 123"),
        ("4\u200b1\u00ad1\ufeff1", "4111"),
        ("030\u00a0123\u20114", "030 123-4"),
        ("ann＠example．com", "ann@example.com"),
        ("电话4155550132号", "  4155550132 "),
        ("𝟒𝟏𝟏𝟏 😀", "4111 😀"),
        ("paſſword", "password"),
        ("Zoë – naïve", "Zoë - naïve"),
    ],
)
def test_disguises_are_undone(original: str, plain: str) -> None:
    assert View(original).text == plain


@given(st.text(alphabet=st.sampled_from("ab1\u200b\u00ad\ufeff９é電😀 ")))
def test_every_character_of_the_view_is_found_in_the_original(original: str) -> None:
    view = View(original)
    for index, seen in enumerate(view.text):
        start, end = view.span(index, index + 1)
        assert end == start + 1
        assert View(original[start:end]).text == seen


def test_digits_are_counted_in_any_script_and_lone_surrogates_do_no_harm() -> None:
    assert View("a1２٣\ud800").digits == 3
