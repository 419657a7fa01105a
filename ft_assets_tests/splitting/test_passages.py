"""The words of a row are those of its turns, read straight from the table or text by text."""

import pytest

from ft_assets.curation.turns import spoken
from ft_assets.curation.words import hash_words
from ft_assets.sources.example import Example, Message, to_table
from ft_assets.splitting.passages import read_words
from ft_assets_tests.splitting.rows import START

_CALL = '[{"type": "function", "function": {"name": "look_up", "arguments": {"word": "dogma"}}}]'


@pytest.mark.parametrize("chunked", [False, True])
def test_the_question_is_all_but_the_last_turn(chunked: bool) -> None:
    rows = [
        _row(("user", "What is this?"), ("assistant", "A test.")),
        _row(("system", "Be brief."), ("user", "And thïs 日本?"), ("assistant", "Two words")),
        _row(("user", "+ + +"), ("assistant", "- ?")),
        _row(("user", "?!"), ("assistant", "Pardon"), ("user", "..."), ("assistant", "I see nothing.")),
        _row(("user", "Look it up."), ("assistant", "", _CALL)),
    ]
    table = to_table(rows)
    words = read_words(table.slice(1) if chunked else table)
    for place, row in enumerate(rows[1:] if chunked else rows):
        turns = [spoken(turn.content, turn.tool_calls) for turn in row.messages]
        assert words.questions.row(place).tolist() == _words("\n\n".join(turns[:-1]))
        assert words.answers.row(place).tolist() == _words(turns[-1])
        assert words.texts.row(place).tolist() == _words("\n\n".join(turns[:-1])) + _words(turns[-1])


def test_no_rows_have_no_words() -> None:
    assert read_words(to_table([])).texts.rows == 0


def _words(text: str) -> list[int]:
    return hash_words([text]).values.tolist()


def _row(*turns: tuple[str, ...]) -> Example:
    messages = tuple(
        Message(role=role, content=content, tool_calls=calls[0] if calls else None)  # pyright: ignore[reportArgumentType]
        for role, content, *calls in turns
    )
    return Example(messages=messages, source="test", license="MIT", created_at=START)
