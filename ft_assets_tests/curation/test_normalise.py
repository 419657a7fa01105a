"""Text is mended, and code is left as it is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.curation.normalise import normalise, normalise_json


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
        ("one \t\n  two\u00a0\nthree", "one\n  two\nthree"),
        ("10\u202f000\u00a0km", "10 000 km"),
        ("pass\u00adword", "password"),
        ("joe\u200d@example.com", "joe@example.com"),
        ("e\u200b\u0301", "é"),
        ("hi\U000e0049\U000e0047", "hi"),
        ("lost \ufffd stays", "lost \ufffd stays"),
        ("“It’s” – café…", "“It’s” – café…"),
        ("Ã\u00ad", "í"),
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
    assert "\u200b" not in mended and " \n" not in mended
    assert not any(ord(letter) < 32 and letter not in "\t\n\x0c" for letter in mended)
    assert mended == mended.strip()
    mended.encode()


_LETTERS = st.sampled_from([*map(chr, range(0xC0, 0x100)), *"–—‘’“”…•°€£©«», .a\nZ", "\u00a0", "\u0153"])


@given(st.lists(_LETTERS, max_size=12).map("".join))
def test_the_short_way_for_sound_text_gives_what_the_long_way_gives(text: str) -> None:
    # A control character sends the text the long way, on a line of its own, as lines are mended one by one.
    assert normalise(f"{text}\n\x01\nx").removesuffix("x").strip() == normalise(text)


def test_json_is_mended_inside_its_strings_and_nowhere_else() -> None:
    inner = '{"to":"joe\\u200b@example.com","file":"  a\\n"}'
    calls = json.dumps([{"arguments": inner, "name": "send"}], separators=(",", ":"))
    ((call,),) = [json.loads(normalise_json(calls))]
    assert json.loads(call["arguments"]) == {"to": "joe@example.com", "file": "  a\n"}
    clean = '[{"name": "send",  "arguments": {"n": 1.50}}]'
    assert normalise_json(clean) == clean
    assert normalise_json("[\u200b broken") == "[ broken"
    assert normalise_json("[" * 100_000 + "\u200b") == "[" * 100_000
