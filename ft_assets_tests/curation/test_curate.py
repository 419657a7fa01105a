"""Nothing is lost: every raw row is kept, or rejected with a reason."""

import time

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from ft_assets.curation.curate import REJECTED_SCHEMA, curate
from ft_assets.curation.filters import FILTERS
from ft_assets.recipe import Curation
from ft_assets.sources.docstrings import read_docstrings
from ft_assets.sources.example import EXAMPLE_SCHEMA, Example, Message, to_table
from ft_assets_tests.curation.rows import chat

_REASONS = {*FILTERS, "exact_duplicate", "near_duplicate"}
_KEY = "20260101T0000-00000000"


def test_kept_and_rejected_rows_carry_the_batch_and_the_reason() -> None:
    raw = to_table([chat("Who is it?", "It is Ann, of course."), chat("Who is it?", "Ann")])
    curated = curate(raw, _KEY, Curation(), None)
    assert curated.rows.schema.equals(EXAMPLE_SCHEMA)
    assert curated.rejected.schema.equals(REJECTED_SCHEMA)
    assert curated.rows.column("batch").to_pylist() == [_KEY]
    (rejected,) = curated.rejected.to_pylist()
    assert (rejected["reason"], rejected["batch"]) == ("answer_too_short", _KEY)
    assert rejected["detail"] == "3 characters, at least 10 wanted"
    assert curated.reasons == {"answer_too_short": 1}


def test_an_empty_batch_stays_empty() -> None:
    curated = curate(EXAMPLE_SCHEMA.empty_table(), _KEY, Curation(), EXAMPLE_SCHEMA.empty_table())
    assert (curated.rows.num_rows, curated.rejected.num_rows, curated.reasons) == (0, 0, {})
    assert curated.rejected.schema.equals(REJECTED_SCHEMA)


def test_personal_data_reaches_neither_kept_nor_rejected_rows() -> None:
    calls = '[{"arguments":"{\\"to\\":\\"ann@example.com\\"}"}]'
    turns = (
        Message(role="user", content="I am ann\u200b@example.com. Write me."),
        Message(role="assistant", content="", tool_calls=calls),
        Message(role="tool", content="sent to ann@example.com"),
        Message(role="assistant", content="I wrote to ann@example.com and bob@example.com."),
    )
    kept = Example(messages=turns, source="test", license="MIT")
    rejected = chat("My card is 4111 1111 1111 1111", "eve@example.com or TODO " * 500)
    curated = curate(to_table([kept, rejected]), _KEY, Curation(), None)
    everything = str(curated.rows.to_pylist()) + str(curated.rejected.to_pylist())
    assert "@" not in everything
    assert "4111" not in everything
    assert curated.rows.to_pylist()[0]["messages"][-1]["content"] == "I wrote to <EMAIL_1> and <EMAIL_2>."
    assert curated.redactions == {"CARD": 1, "EMAIL": 505}


def test_rows_that_differ_only_in_personal_data_are_copies() -> None:
    rows = [
        chat(f"I am {name}@example.com, hello.", "Hello to you, dear customer.") for name in ("ann", "bob")
    ]
    assert curate(to_table(rows), _KEY, Curation(), None).reasons == {"exact_duplicate": 1}


def test_redaction_can_be_turned_off() -> None:
    raw = to_table([chat("Who is it?", "It is ann@example.com.")])
    curated = curate(raw, _KEY, Curation.model_validate({"redact_pii": False}), None)
    assert curated.rows.to_pylist()[0]["messages"][-1]["content"] == "It is ann@example.com."


def test_rows_of_earlier_batches_are_not_taken_again() -> None:
    raw = to_table(read_docstrings(["json", "textwrap"], "PSF-2.0", 20))
    first = curate(raw, _KEY, Curation(), None)
    again = curate(raw, "20260102T0000-00000000", Curation(), first.rows)
    assert again.rows.num_rows == 0
    assert again.reasons["exact_duplicate"] == first.rows.num_rows
    known = set(first.rows.column("id").to_pylist())
    copies = [row for row in again.rejected.to_pylist() if row["reason"] == "exact_duplicate"]
    assert all(row["detail"].split()[1].rstrip(",") in known for row in copies)


_turns = st.lists(
    st.builds(
        lambda role, content: Message.model_validate({"role": role, "content": content}),
        st.sampled_from(["system", "user", "assistant", "tool"]),
        st.sampled_from(["", "\x00", "a b c d e f", "a b c d e f g", "ann@example.com", "TODO"])
        | st.text(max_size=40),
    ),
    min_size=2,
    max_size=4,
)
_examples = st.lists(
    st.builds(lambda turns: Example(messages=tuple(turns), source="x", license="MIT"), _turns), max_size=15
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(_examples, _examples)
def test_kept_and_rejected_rows_together_are_the_raw_rows(
    first: list[Example], second: list[Example]
) -> None:
    lenient = Curation.model_validate({"min_answer_chars": 1})
    earlier = curate(to_table(first), _KEY, lenient, None).rows
    raw = to_table(second)
    curated = curate(raw, _KEY, lenient, earlier)
    assert curated.rows.num_rows + curated.rejected.num_rows == raw.num_rows
    assert sum(curated.reasons.values()) == curated.rejected.num_rows
    assert set(curated.reasons) <= _REASONS
    assert all(row["reason"] and row["detail"] for row in curated.rejected.to_pylist())
    ids = curated.rows.column("id").to_pylist()
    assert len(set(ids)) == len(ids)
    assert not set(ids) & set(earlier.column("id").to_pylist())
    assert curate(raw, _KEY, lenient, earlier) == curated


def test_a_two_megabyte_row_among_others_is_rejected_with_the_rest_kept() -> None:
    rows = [chat("word " * 400_000, "It is far too long."), chat("Who is it?", "It is Ann, of course.")]
    start = time.perf_counter()
    curated = curate(to_table(rows), _KEY, Curation(), None)
    assert curated.reasons == {"prompt_too_long": 1}
    assert time.perf_counter() - start < 60


def test_two_runs_write_the_same_bytes() -> None:
    raw = to_table(read_docstrings(["json"], "PSF-2.0", 12))
    one, two = (curate(raw, _KEY, Curation(), None) for _ in range(2))
    assert one.rows.equals(two.rows)
    assert isinstance(one.rejected, pa.Table)
    assert one.rejected.equals(two.rejected)
