"""The rows that the benchmarks generate hold what they promise."""

import itertools

import numpy as np

from benchmarks.curation_arms import ours
from benchmarks.curation_rows import make_rows, similar_by_brute_force, word_grams


def test_same_seed_gives_the_same_rows() -> None:
    one, other = make_rows(200), make_rows(200)
    assert one.texts == other.texts
    assert (one.origins == other.origins).all()
    assert make_rows(200, seed=4).texts != one.texts


def test_a_tenth_are_exact_copies_and_a_tenth_share_at_least_half_of_the_grams() -> None:
    rows = make_rows(1_000)
    copies = [
        (word_grams(rows.texts[row]), word_grams(rows.texts[rows.origins[row]]))
        for row in np.flatnonzero(rows.origins >= 0)
    ]
    alike = [len(one & other) / len(one | other) for one, other in copies]
    assert alike.count(1.0) == 100
    near = [similarity for similarity in alike if similarity < 1]
    assert len(near) == 100
    assert min(near) > 0.45
    assert np.ptp(near) > 0.3
    assert 55 < np.mean([len(text.split()) for text in rows.texts]) < 65


def test_templates_are_shared_and_make_no_copies_of_their_own() -> None:
    rows = make_rows(1_000)
    starts = [" ".join(text.split()[:5]) for text in rows.texts]
    assert len(set(starts)) < 500
    pairs = similar_by_brute_force(rows.texts, 0.5)
    first = np.where(rows.origins < 0, np.arange(1_000), rows.origins)
    assert all(first[one] == first[other] for one, other in pairs)


def test_sample_keeps_originals_with_their_copies() -> None:
    rows = make_rows(1_000)
    sample = rows.sample(200)
    copies = np.flatnonzero(sample.origins >= 0)
    assert 20 < len(copies) < 80
    assert set(sample.texts) <= set(rows.texts)
    for row in copies:
        one, other = word_grams(sample.texts[row]), word_grams(sample.texts[sample.origins[row]])
        assert len(one & other) > 0.4 * len(one | other)


def test_brute_force_finds_what_comparing_all_pairs_finds() -> None:
    texts = make_rows(150).texts
    grams = [word_grams(text) for text in texts]
    expected = {
        (i, j)
        for (i, one), (j, other) in itertools.combinations(enumerate(grams), 2)
        if len(one & other) >= 0.5 * len(one | other)
    }
    assert set(similar_by_brute_force(texts, 0.5)) == expected == ours(texts)
