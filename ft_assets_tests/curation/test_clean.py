"""What may be written down: mended, redacted, and named anew."""

from collections import Counter
from pathlib import Path

from ft_assets.curation.clean import clean
from ft_assets.recipe_data import Curation
from ft_assets.sources.example import Example, Message, from_table, to_table
from ft_assets_tests.curation.pii.test_names import save_model
from ft_assets_tests.curation.rows import chat


def cleaned(row: Example, **settings: bool | str) -> tuple[Example, Counter[str]]:
    counts: Counter[str] = Counter()
    batch = clean(to_table([row]).to_batches()[0], Curation.model_validate(settings), counts)
    (found,) = from_table(batch)
    assert batch["id"].to_pylist() == [found.id]
    return found, counts


def test_text_is_mended_and_personal_data_replaced_alike_in_every_turn() -> None:
    row = chat("Mail  ann.lee@example.org, thatâ€™s me.", "Wrote to ann.lee@example.org.\r\nDone.\x00")
    found, counts = cleaned(row)
    assert [turn.content for turn in found.messages] == [
        "Mail  <EMAIL_1>, that’s me.",
        "Wrote to <EMAIL_1>.\nDone.",
    ]
    assert counts == {"EMAIL": 2}


def test_tool_calls_and_rejected_answers_are_redacted_too() -> None:
    calls = '[{"arguments":{"to":"ann.lee@example.org"},"name":"send"}]'
    turns = (
        Message(role="user", content="Write to her."),
        Message(role="assistant", content="", tool_calls=calls),
    )
    row = Example(
        messages=turns,
        source="test",
        license="MIT",
        rejected=Message(role="assistant", content="It is ann.lee@example.org."),
    )
    found, counts = cleaned(row)
    assert found.messages[1].tool_calls == calls.replace("ann.lee@example.org", "<EMAIL_1>")
    assert found.rejected and found.rejected.content == "It is <EMAIL_1>."
    assert counts == {"EMAIL": 2}


def test_redaction_can_be_switched_off() -> None:
    found, counts = cleaned(chat("Who?", "ann.lee@example.org"), redact_pii=False)
    assert found.answer == "ann.lee@example.org" and counts == {}


def test_cleaning_twice_changes_nothing_more() -> None:
    once, _ = cleaned(chat("Tel. +1 212 555 0147", "Call  +1 212 555 0147 \n now."))
    twice, counts = cleaned(once)
    assert twice == once and counts == {}


def test_names_are_replaced_where_the_recipe_names_a_model(tmp_path: Path) -> None:
    folder = str(save_model(tmp_path, {0: "O", 1: "B-PER"}, always=1))
    found, counts = cleaned(chat("Ann", "Ann"), names_model=folder)
    assert [turn.content for turn in found.messages] == ["<PERSON_1>", "<PERSON_1>"]
    assert counts == {"PERSON": 2}
    assert cleaned(chat("Ann", "Ann"), names_model=folder, redact_pii=False)[0].answer == "Ann"
