"""Rows of hashes keep their rows and their order whatever is done to them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ft_assets.curation.hashes import Hashes, among


@settings(max_examples=100)
@given(st.lists(st.lists(st.integers(0, 5), max_size=9), max_size=6))
def test_distinct_keeps_each_value_of_a_row_once(rows: list[list[int]]) -> None:
    hashes = _hashes(rows).distinct()
    assert [sorted(hashes.row(index).tolist()) for index in range(hashes.rows)] == [
        sorted(set(row)) for row in rows
    ]


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=4), max_size=6))
def test_arrow_and_back_is_the_same(rows: list[list[int]]) -> None:
    hashes = _hashes(rows)
    for column in (hashes.to_arrow(), hashes.to_arrow().slice(0), hashes.to_arrow()):
        back = Hashes.from_arrow(column)
        assert [back.row(index).tolist() for index in range(back.rows)] == rows
    beside = Hashes.beside([hashes, hashes])
    assert [beside.row(index).tolist() for index in range(beside.rows)] == [row * 2 for row in rows]


@settings(max_examples=100)
@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9), max_size=30), st.sets(st.integers(0, 9)))
def test_among_finds_what_is_known(values: list[int], known: set[int]) -> None:
    found = among(np.array(values, np.uint64), np.array(sorted(known), np.uint64))
    assert found.tolist() == [value in known for value in values]


def _hashes(rows: list[list[int]]) -> Hashes:
    flat = np.array([value for row in rows for value in row], np.uint64)
    return Hashes(flat, np.cumsum([0, *(len(row) for row in rows)]))
