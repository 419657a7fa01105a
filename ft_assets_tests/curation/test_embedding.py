"""Texts of one meaning are near one another, without a network."""

import numpy as np

from ft_assets.curation.embedding import DIMENSIONS, embed


def test_other_words_for_the_same_are_nearer_than_other_things() -> None:
    one, same, other = embed(
        [
            "How do I reset my password?",
            "How can I change a forgotten password?",
            "Bake the bread for an hour.",
        ]
    )
    assert one @ same > 0.5 > one @ other


def test_vectors_have_unit_length_and_nothing_has_none() -> None:
    vectors = embed(["one", "", "two three"] * 300)
    assert vectors.shape == (900, DIMENSIONS) and vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1).reshape(-1, 3), [1, 0, 1], atol=1e-5)
    assert np.array_equal(vectors[:3], vectors[3:6])
    assert embed([]).shape == (0, DIMENSIONS)
