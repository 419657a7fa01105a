"""Text comes whole: characters and stop strings are never cut."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ft_assets.evaluation.text_stream import TextStream


@pytest.fixture(scope="module")
def tokenizer(tiny_base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_base)


def stream(tokenizer: Any, ids: list[int], stop: tuple[str, ...] = ()) -> list[str]:
    """Deltas, up to the one in which a stop string was found."""
    text = TextStream(tokenizer, stop)
    deltas = []
    for token_id in ids:
        deltas.append(text.push(token_id))
        if text.stopped:
            return deltas
    return [*deltas, text.finish()]


@settings(max_examples=200)
@given(st.text(st.characters(exclude_characters="\ufffd", exclude_categories=["Cs"])))
def test_deltas_join_to_the_text_and_none_is_broken(tokenizer: Any, text: str) -> None:
    assume(not any(token in text for token in tokenizer.all_special_tokens))  # no text, see below
    deltas = stream(tokenizer, tokenizer(text, add_special_tokens=False)["input_ids"])
    assert "".join(deltas) == text
    assert not any("\ufffd" in delta for delta in deltas)


@settings(max_examples=200)
@given(st.lists(st.integers(3, 258), max_size=40))
def test_any_bytes_join_to_what_a_whole_decode_says(tokenizer: Any, ids: list[int]) -> None:
    whole = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert "".join(stream(tokenizer, ids)) == whole.rstrip("\ufffd")


@settings(max_examples=300)
@given(st.text("abé", max_size=20), st.lists(st.text("abé", min_size=1, max_size=4), min_size=1, max_size=3))
def test_no_part_of_a_stop_string_is_ever_given_out(tokenizer: Any, text: str, stops: list[str]) -> None:
    deltas = stream(tokenizer, tokenizer(text, add_special_tokens=False)["input_ids"], tuple(stops))
    # The answer ends at the stop string that is complete first.
    ends = [(text.index(stop) + len(stop), -len(stop)) for stop in stops if stop in text]
    joined = "".join(deltas)
    if not ends:
        assert joined == text
    else:
        end, length = min(ends)
        assert text.startswith(joined)
        assert not any(stop in joined for stop in stops)
        assert joined == text[: end + length]


def test_half_a_character_at_the_end_is_dropped(tokenizer: Any) -> None:
    ids = tokenizer("é€", add_special_tokens=False)["input_ids"]
    assert "".join(stream(tokenizer, ids[:-1])) == "é"


def test_special_tokens_are_no_text(tokenizer: Any) -> None:
    ids = tokenizer("a", add_special_tokens=False)["input_ids"]
    assert "".join(stream(tokenizer, [1, *ids, 2, *ids, 0])) == "aa"
