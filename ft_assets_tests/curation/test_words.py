"""Words are the same whatever they are dressed in, and their hashes are the same everywhere."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ft_assets.curation.words import fold, hash_column, hash_words, text_key

_PLAIN = "Hello, naive world of code"


@pytest.mark.parametrize(
    "disguised",
    [
        "HELLO naive\n\tworld   of  code!",
        "Hello, naïve world of code",
        "Hello, nai\u0308ve world of code",
        "Ｈｅｌｌｏ, naive world of code",
        "He\u200bllo, na\u00adive wor\u2060ld of code",
        "Неllо, naive wоrld оf соdе",  # Cyrillic
        "Ηellο, naive wοrld οf cοde",  # Greek
    ],
)
def test_a_disguise_changes_no_word(disguised: str) -> None:
    assert hash_words([disguised]).values.tolist() == hash_words([_PLAIN]).values.tolist()
    assert fold(disguised).split()[-1].rstrip("!") == "code"


def test_each_text_has_its_words_in_order() -> None:
    words = hash_words(["one two one", "", "two", "+", "日本 x"])
    assert words.lengths.tolist() == [3, 1, 1, 1, 3]
    assert words.row(0)[0] == words.row(0)[2] != words.row(0)[1] == words.row(2)[0]
    assert len({int(words.row(1)[0]), int(words.row(3)[0]), int(words.row(2)[0])}) == 3


_texts = st.lists(st.none() | st.text("ab Zé日\u0430-+\n\0", max_size=40) | st.text(max_size=12), max_size=9)


@settings(max_examples=200)
@given(_texts, st.integers(0, 9))
def test_a_column_has_the_words_of_its_texts(texts: list[str | None], start: int) -> None:
    texts = [text and text.encode("utf-8", "replace").decode() for text in texts]
    words = hash_column(pa.array(texts, pa.string()).slice(start))
    for row, text in enumerate(texts[start:]):
        told = words.row(row).tolist()
        assert told == (hash_words([text or ""]).values.tolist() if any(map(_is_word, text or "")) else [])


def test_texts_without_a_separator_between_them_are_kept_apart() -> None:
    assert hash_column(pa.array(["one", "two", "three four"])).lengths.tolist() == [1, 1, 2]
    assert hash_column(pa.array([], pa.string())).rows == 0


def test_many_words_have_as_many_hashes() -> None:
    spellings = [f"{left}{right}" for left in "abcdefghijklmnop" for right in range(5_000)]
    assert len(np.unique(hash_words([" ".join(spellings)]).values)) == len(spellings)


@settings(max_examples=100)
@given(
    st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=7), max_size=6),
    st.sampled_from([1, 2, 3, 13]),
)
def test_grams_are_neighbours_within_a_row(rows: list[list[str]], size: int) -> None:
    grams = hash_words([" ".join(row) for row in rows]).grams(size)
    told = [[tuple(row[at : at + size]) for at in range(max(1, len(row) - size + 1))] for row in rows]
    assert grams.lengths.tolist() == [len(row) for row in told]
    names: dict[tuple[str, ...], set[int]] = {}
    for gram, value in zip((gram for row in told for gram in row), grams.values.tolist(), strict=True):
        names.setdefault(gram, set()).add(value)
    assert all(len(values) == 1 for values in names.values())
    assert len({value for values in names.values() for value in values}) == len(names)


def test_a_key_ignores_case_space_and_disguise_but_no_sign() -> None:
    assert text_key("Add  2 + 2\n") == text_key("add 2 + 2") == text_key("аdd 2 ＋ 2")
    assert text_key("2 + 2") != text_key("2 - 2")


def test_hashes_are_the_same_in_every_process() -> None:
    program = (
        "from ft_assets.curation.words import *; print(hash_words(['a bé']).grams(2).values, text_key('é'))"
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == "[14537948950002072575] 5700765136896514064"


def _is_word(character: str) -> bool:
    return any(part.isalnum() or part == "_" for part in fold(character))
