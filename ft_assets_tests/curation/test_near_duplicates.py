"""The text decides: no false pair, and planted pairs are found."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ft_assets.curation.near_duplicates import near_duplicates
from ft_assets_tests.curation.rows import gram_set, jaccard

_words = st.lists(st.sampled_from(["red", "green", "blue", "grey", "pink", "gold"]), max_size=12).map(
    " ".join
)
_thresholds = st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0])


@settings(max_examples=200)
@given(st.lists(_words | st.text(max_size=30), max_size=12), _thresholds)
def test_a_pair_within_is_a_true_pair_and_no_close_pair_is_lost(texts: list[str], threshold: float) -> None:
    sets = [gram_set(text) for text in texts]
    truth = [
        (i, j, jaccard(sets[i], sets[j]))
        for i in range(len(texts))
        for j in range(i + 1, len(texts))
        if 0 < jaccard(sets[i], sets[j]) >= threshold
    ]
    assert near_duplicates(texts, threshold) == truth


@settings(max_examples=100)
@given(st.lists(_words, max_size=8), st.lists(_words, max_size=8), _thresholds)
def test_a_pair_against_others_is_a_true_pair(left: list[str], right: list[str], threshold: float) -> None:
    truth = [
        (i, j, jaccard(gram_set(a), gram_set(b)))
        for i, a in enumerate(left)
        for j, b in enumerate(right)
        if 0 < jaccard(gram_set(a), gram_set(b)) >= threshold
    ]
    assert near_duplicates(left, threshold, against=right) == truth


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_planted_copies_at_the_threshold_are_found_among_templated_rows(threshold: float) -> None:
    draw = random.Random(7)
    template = "write the one line docstring of this function please "
    originals = [template + " ".join(draw.choices(_LEXICON, k=60)) for _ in range(120)]
    planted = [_edit(text, threshold, draw) for text in originals]
    found = {(i, j) for i, j, _ in near_duplicates(originals, threshold, against=planted)}
    close = [jaccard(gram_set(a), gram_set(b)) for a, b in zip(originals, planted, strict=True)]
    assert all(threshold <= similarity < threshold + 0.06 for similarity in close)
    assert found == {(i, i) for i in range(120)}


def test_equal_texts_have_similarity_one_whatever_they_are() -> None:
    for text in ("", " ", "one", "two words", "+ - !", "de\ud800ad", "日本語", "日本語のテキスト", "a b c d"):
        assert near_duplicates([text, text], 1.0) == [(0, 1, 1.0)]


def test_texts_of_punctuation_alone_are_told_apart() -> None:
    assert near_duplicates(["+", "-"], 0.5) == []


def test_unspaced_scripts_are_compared_by_character() -> None:
    assert jaccard(gram_set("これはとても長い日本語の文です"), gram_set("これはとても長い日本語の文だ")) > 0.6


def test_nothing_gives_nothing() -> None:
    assert near_duplicates([], 0.5) == []
    assert near_duplicates(["a"], 0.5, against=[]) == []
    assert near_duplicates([], 0.5, against=["a"]) == []


def test_large_groups_of_copies_are_found_whole() -> None:
    texts = ["the same words for every one of them"] * 300 + ["other words that nobody shares with them"]
    assert len(near_duplicates(texts, 0.5)) == 300 * 299 // 2
    assert len(near_duplicates(texts, 0.5, against=texts)) == 300 * 300 + 1


def test_looking_at_few_pairs_at_a_time_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(3)
    texts = [" ".join(draw.choices(_LEXICON[:9], k=6)) for _ in range(1_500)]
    expected = near_duplicates(texts, 0.3), near_duplicates(texts[:700], 0.3, against=texts[700:])
    monkeypatch.setattr("ft_assets.curation.near_duplicates._PAIRS", 50)
    assert (near_duplicates(texts, 0.3), near_duplicates(texts[:700], 0.3, against=texts[700:])) == expected
    assert len(expected[0]) > 50


_LEXICON = [f"word{number}" for number in range(2_000)]


def _edit(text: str, threshold: float, draw: random.Random) -> str:
    """Replace words at the end until one more would fall below the threshold."""
    words, best = text.split(), text
    for position in reversed(range(len(words))):
        words[position] = draw.choice(_LEXICON) + "x"
        if jaccard(gram_set(text), gram_set(" ".join(words))) < threshold:
            return best
        best = " ".join(words)
    return best
