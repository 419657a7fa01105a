"""The columns of a batch say what its examples say."""

from ft_assets.curation.turns import Columns, with_conversations
from ft_assets.sources.example import Message, from_table, to_table
from ft_assets_tests.curation.rows import chat

_WORSE = Message(role="assistant", content="Worse.")
_ROWS = [
    chat("One?", "Two.", "Three?", "Four."),
    chat("Five?", "Six.", rejected=_WORSE),
    chat("Seven?", "Eight.", desirable=False),
]


def test_every_view_agrees_with_the_examples() -> None:
    for rows in (to_table(_ROWS), to_table(_ROWS).to_batches()[0], to_table([_ROWS[0], *_ROWS]).slice(1)):
        columns = Columns(rows)
        assert columns.conversations == [row.messages for row in _ROWS]
        assert columns.prompts == [row.prompt for row in _ROWS]
        assert columns.answers == [row.answer for row in _ROWS]
        assert columns.roles[0] == ["user", "assistant"] * 2
        assert columns.rejected == [None, _WORSE, None]
        assert columns.desirable == [None, None, False]
        assert columns.imitated == [True, True, False]


def test_other_turns_take_the_place_of_the_old_ones_and_all_else_stays() -> None:
    batch = to_table(_ROWS).to_batches()[0]
    turns = [row.messages for row in reversed(_ROWS)]
    changed = with_conversations(batch, [row.id for row in _ROWS], turns, [_WORSE, None, None])
    assert changed.schema.equals(batch.schema)
    back = list(from_table(changed))
    assert [row.messages for row in back] == turns
    assert [row.rejected for row in back] == [_WORSE, None, None]
    assert [row.desirable for row in back] == [None, None, False]
