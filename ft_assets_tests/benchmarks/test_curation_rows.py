"""Generated rows: what the curation benchmark counts as truth must be true."""

from collections import Counter

import numpy as np
import pytest

from benchmarks.curation_rows import Rows, as_example, make_rows, similar_by_brute_force, word_grams

_ROWS = 2_000


@pytest.fixture(scope="module")
def rows() -> Rows:
    return make_rows(_ROWS)


def similarities(rows: Rows) -> list[float]:
    """Jaccard similarity of every planted copy to its original."""
    grams = [word_grams(text) for text in rows.texts]
    pairs = [(grams[row], grams[origin]) for row, origin in enumerate(rows.origins) if origin >= 0]
    return [len(one & other) / len(one | other) for one, other in pairs]


def test_same_seed_gives_the_same_rows_and_another_seed_others(rows: Rows) -> None:
    assert make_rows(_ROWS).texts == rows.texts
    assert not set(make_rows(_ROWS, seed=4).texts) & set(rows.texts)


def test_rows_have_about_sixty_words_of_which_a_template_gives_under_half(rows: Rows) -> None:
    lengths = [len(text.split()) for text in rows.texts]
    assert 55 <= np.mean(lengths) <= 66
    templates = Counter(" ".join(text.split()[:18]) for text in rows.texts)
    assert len([name for name, times in templates.items() if times > 3]) == 200


def test_a_tenth_are_exact_copies_and_a_tenth_are_near_copies_of_every_similarity(rows: Rows) -> None:
    measured = similarities(rows)
    near = [similarity for similarity in measured if similarity < 1]
    assert len(measured) == 0.2 * _ROWS
    assert 0.09 * _ROWS <= len(near) <= 0.1 * _ROWS  # a word can be replaced by itself
    assert min(near) < 0.55 and max(near) > 0.95


def test_brute_force_finds_every_planted_copy_of_at_least_the_threshold_and_no_template(rows: Rows) -> None:
    sample = rows.sample(500)
    found = similar_by_brute_force(sample.texts, 0.5)
    planted = {
        (min(row, origin), max(row, origin)) for row, origin in enumerate(sample.origins) if origin >= 0
    }
    expected = [similarity for similarity in similarities(sample) if similarity >= 0.5]
    assert sorted(found[pair] for pair in planted & found.keys()) == pytest.approx(sorted(expected))
    families = np.where(sample.origins < 0, np.arange(len(sample.texts)), sample.origins)
    assert all(families[one] == families[other] for one, other in found)


def test_brute_force_agrees_with_comparing_all_pairs() -> None:
    texts = ["a b c d e", "a b c d", "x y z", "a b c d e", "a b"]
    expected = {(0, 1): 2 / 3, (0, 3): 1.0, (1, 3): 2 / 3}
    assert similar_by_brute_force(texts, 0.5) == pytest.approx(expected)


def test_sample_keeps_families_together(rows: Rows) -> None:
    sample = rows.sample(300)
    assert 200 <= len(sample.texts) <= 400
    assert all(len(text) for text in sample.texts)
    assert np.mean(sample.origins >= 0) == pytest.approx(0.2, abs=0.08)
    copies = [
        (sample.texts[row], sample.texts[origin]) for row, origin in enumerate(sample.origins) if origin >= 0
    ]
    assert all(one.split()[-1] or other for one, other in copies)
    assert min(similarities(sample)) > 0.4


def test_example_of_a_text_says_all_of_it() -> None:
    row = as_example("a b c d e", "call me")
    assert (row.prompt, row.answer) == ("a b call me", "c d e")
