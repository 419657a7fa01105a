"""Nothing is lost: every raw row is kept, or rejected with a reason."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ft_assets.curation.curate import curate
from ft_assets.curation.filters import FILTERS
from ft_assets.curation.signatures import SIGNATURE_SCHEMA
from ft_assets.curation.summary import Summary
from ft_assets.recipe_data import Curation
from ft_assets.sources.batch_files import BatchFiles
from ft_assets.sources.docstrings import read_docstrings
from ft_assets.sources.example import EXAMPLE_SCHEMA, Example, Message
from ft_assets.sources.rejected import REJECTED_SCHEMA, Rejected
from ft_assets_tests.curation.rows import chat

_KEY = "20260101T0000-00000000"
_REASONS = {*FILTERS, "exact_duplicate", "near_duplicate", "contradiction", "not_json"}
_UNREADABLE = Rejected("chat.jsonl", 7, "not_json", "mail ann@example.com", '{"to": "ann@example.com"')


class Curated:
    """What `curate` made of rows."""

    def __init__(
        self,
        folder: Path,
        rows: Sequence[Example | Rejected],
        recipe: Curation | None = None,
        earlier: Sequence["Curated"] = (),
    ) -> None:
        raw, self.folder = folder / "raw", folder / "out"
        for part in (raw, self.folder):
            part.mkdir(parents=True)
        BatchFiles(None).write(rows, raw)
        files = [one.folder / "signatures.parquet" for one in earlier]
        self.summary = curate(raw, self.folder, _KEY, recipe or Curation(), files)

    def table(self, name: str) -> pa.Table:
        return pq.read_table(self.folder / f"{name}.parquet")

    def rows(self, name: str = "rows") -> list[dict]:
        return self.table(name).to_pylist()


def test_each_file_has_its_schema_and_kept_rows_carry_the_batch(tmp_path: Path) -> None:
    rows = [chat("Who is it?", "It is Ann, of course."), chat("Who is it?", "Ann", line=4)]
    made = Curated(tmp_path, rows)
    assert made.table("rows").schema.equals(EXAMPLE_SCHEMA)
    assert made.table("rejected").schema.equals(REJECTED_SCHEMA)
    assert made.table("signatures").schema.equals(SIGNATURE_SCHEMA)
    assert [row["batch"] for row in made.rows()] == [_KEY]
    (rejected,) = made.rows("rejected")
    assert (rejected["source"], rejected["line"], rejected["reason"]) == ("test", 4, "answer_too_short")
    assert rejected["detail"] == "3 characters, at least 10 wanted"
    assert json.loads(rejected["row"])["messages"][1]["content"] == "Ann"
    assert sorted(path.name for path in made.folder.iterdir()) == [
        "card.md", "rejected.parquet", "rows.parquet", "signatures.parquet", "summary.json"
    ]  # fmt: skip


def test_an_empty_batch_stays_empty(tmp_path: Path) -> None:
    made = Curated(tmp_path, [])
    assert made.rows() == made.rows("rejected") == made.rows("signatures") == []
    assert (made.summary.rows_in, made.summary.reject_share) == (0, 0.0)


def test_rows_that_could_not_be_read_are_rejected_rows_too(tmp_path: Path) -> None:
    made = Curated(tmp_path, [chat("Who is it?", "It is Ann, of course."), _UNREADABLE])
    (rejected,) = made.rows("rejected")
    assert (rejected["source"], rejected["line"], rejected["reason"]) == ("chat.jsonl", 7, "not_json")
    assert "ann@" not in rejected["row"] + rejected["detail"]
    assert (made.summary.rows_in, made.summary.rejected) == (2, {"not_json": 1})


def test_personal_data_reaches_no_file(tmp_path: Path) -> None:
    calls = '[{"name":"send","arguments":"{\\"to\\":\\"ann@example.com\\"}"}]'
    turns = (
        Message(role="user", content="I am ann\u200b@example.com. Write  to\u00a0me."),
        Message(role="assistant", content="", tool_calls=calls),
        Message(role="tool", content="sent to ann@example.com"),
        Message(role="assistant", content="I wrote to ann@example.com and bob@example.com."),
    )
    kept = Example(messages=turns, source="test", license="MIT")
    rejected = chat("My card is 4111 1111 1111 1111", "eve@example.com or TODO " * 500)
    made = Curated(tmp_path, [kept, rejected, _UNREADABLE])
    everything = str(made.rows()) + str(made.rows("rejected"))
    everything += (made.folder / "card.md").read_text() + (made.folder / "summary.json").read_text()
    assert "@" not in everything
    assert "4111" not in everything
    assert made.rows()[0]["messages"][-1]["content"] == "I wrote to <EMAIL_1> and <EMAIL_2>."
    assert made.summary.pii == {"EMAIL": 506, "CARD": 1}


def test_samples_are_texts_in_which_nothing_personal_was_found(tmp_path: Path) -> None:
    personal = chat("Write\u200b  to ann@exam\x00ple.com, please.", "I\u00a0wrote to them, of course.")
    long = chat("word " * 200 + "tidy\u200b me", "It is tidy, of course.")
    made = Curated(tmp_path, [personal, long])
    first, second = made.summary.samples
    assert first.before == "I\u00a0wrote to them, of course."
    assert second.before.startswith("…") and second.before.endswith("tidy\u200b me")
    assert second.after.endswith("tidy me")
    assert "exam" not in (made.folder / "summary.json").read_text()


def test_unreadable_rows_stay_as_they_are_where_redaction_is_off(tmp_path: Path) -> None:
    made = Curated(tmp_path, [_UNREADABLE], Curation(redact_pii=False))
    assert made.rows("rejected")[0]["row"] == _UNREADABLE.row
    assert made.summary.pii == {}


def test_rows_that_differ_only_in_personal_data_are_copies(tmp_path: Path) -> None:
    rows = [
        chat(f"I am {name}@example.com, hello.", "Hello to you, dear customer.") for name in ("ann", "bob")
    ]
    assert Curated(tmp_path, rows).summary.rejected == {"exact_duplicate": 1}


def test_copies_of_earlier_batches_are_found_by_their_signatures_alone(tmp_path: Path) -> None:
    rows = list(read_docstrings(["json", "textwrap"], "PSF-2.0", 40))
    first = Curated(tmp_path / "1", rows[:20])
    for name in ("rows.parquet", "rejected.parquet"):
        (first.folder / name).unlink()
    second = Curated(tmp_path / "2", rows, earlier=[first])
    alone = Curated(tmp_path / "3", rows)
    new = {row["id"] for row in alone.rows()} - {row["id"] for row in first.rows("signatures")}
    assert {row["id"] for row in second.rows()} <= new
    assert second.summary.rejected["exact_duplicate"] >= first.summary.curated


def test_contradictions_within_a_batch_are_settled(tmp_path: Path) -> None:
    rows = [chat("Is it open on Sundays?", answer) for answer in ("Yes, all day long.", "No, it is closed.")]
    made = Curated(tmp_path, rows)
    assert [row["messages"][1]["content"] for row in made.rows()] == ["No, it is closed."]
    assert made.summary.rejected == {"contradiction": 1}


def test_the_same_rows_make_the_same_bytes(tmp_path: Path) -> None:
    rows = list(read_docstrings(["json"], "PSF-2.0", 20))
    one, two = (Curated(tmp_path / name, rows).folder for name in ("1", "2"))
    for file in one.iterdir():
        assert file.read_bytes() == (two / file.name).read_bytes()


def test_more_rows_than_a_block_keep_their_order(tmp_path: Path) -> None:
    rows = [
        chat(f"Question number {number} of many?", f"Answer {number}." if number % 3 else "No")
        for number in range(9_000)
    ]
    made = Curated(tmp_path, rows, Curation(near_duplicate_jaccard=1.0, min_answer_chars=5))
    kept = [row["messages"][0]["content"] for row in made.rows()]
    assert kept == [row.prompt for number, row in enumerate(rows) if number % 3]
    assert made.summary.rejected == {"answer_too_short": 3_000}


_turns = st.lists(
    st.text(max_size=40) | st.sampled_from(["Yes, it is so.", "TODO", "ann@example.com"]),
    min_size=2,
    max_size=4,
)


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(_turns.map(lambda turns: chat(*turns)) | st.just(_UNREADABLE), max_size=8))
def test_every_row_is_accounted_for(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Example | Rejected]
) -> None:
    made = Curated(tmp_path_factory.mktemp("batch"), rows)
    rejected = made.rows("rejected")
    assert len(rows) == made.summary.rows_in == len(made.rows()) + len(rejected)
    assert Counter(row["reason"] for row in rejected) == made.summary.rejected
    assert {row["reason"] for row in rejected} <= _REASONS
    assert all(row["detail"] for row in rejected)
    assert Summary.model_validate_json((made.folder / "summary.json").read_text()) == made.summary
