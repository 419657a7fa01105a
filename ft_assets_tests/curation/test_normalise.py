"""Text is mended, and code is left as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.curation.normalise import normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x00b", "ab"),
        ("\ufeffhi ", "hi"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("schÃ¶n âœ”", "schön ✔"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("joe\u200b@\u2060example.com", "joe@example.com"),
        ("\u202eabc\u202c", "abc"),
        ("e\u0301", "é"),
        ("\t\n ", ""),
    ],
)
def test_what_is_broken_or_invisible_is_mended(text: str, expected: str) -> None:
    assert normalise(text) == expected


@pytest.mark.parametrize(
    "code", ["if x:\n\treturn '&lt;' + “q” + 'ﬁ'", "a = 1\n\n\n    b = 2  # ｗｉｄｅ", "👩‍👧 می‌خواهم"]
)
def test_code_and_joined_letters_are_left_alone(code: str) -> None:
    assert normalise(code) == code


@given(st.text())
def test_no_control_characters_are_left_and_the_result_has_a_utf8_form(text: str) -> None:
    mended = normalise(text)
    assert not any(ord(letter) < 32 and letter not in "\t\n\x0c" for letter in mended)
    assert mended == mended.strip()
    mended.encode()
