"""Parquet rows are read a batch at a time; damage costs one row group at most."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ft_assets.errors import WrongInput
from ft_assets_tests.sources.read import TURNS, read, read_bytes


def _write(path: Path, table: pa.Table, rows: int = 100) -> Path:
    pq.write_table(table, path, row_group_size=rows)
    return path


def test_rows_of_several_shapes_and_their_own_fields_are_read(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    calls = [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]
    turns = [*TURNS[:1], {"role": "assistant", "content": None, "tool_calls": calls}, *TURNS]
    table = pa.Table.from_pylist(
        [
            {"messages": turns, "created_at": moment, "id": 5, "customer": 7},
            {"prompt": "Say.", "completion": "Said.", "label": False},
            {"prompt": "Say.", "completion": "Said."},
        ],
        schema=pa.schema(
            [
                ("messages", pa.array([turns]).type),
                ("created_at", pa.timestamp("us", tz="UTC")),
                ("id", pa.int64()),
                ("customer", pa.int32()),
                ("prompt", pa.string()),
                ("completion", pa.large_string()),
                ("label", pa.bool_()),
                ("picture", pa.binary()),
            ]
        ),
    )
    (chat, kto, plain), rejected = read(_write(tmp_path / "a.parquet", table), group_field="customer")
    assert rejected == []
    assert (chat.source, chat.line, chat.group, chat.created_at) == ("a.parquet#5", 1, "7", moment)
    assert chat.messages[1].tool_calls and '"name":"f"' in chat.messages[1].tool_calls
    assert (kto.line, kto.desirable) == (2, False)
    assert (plain.line, plain.desirable) == (3, None)


def test_values_that_cannot_be_read_cost_only_their_row(tmp_path: Path) -> None:
    prompts = pa.array([b"one", b"\xff", b"three"]).view(pa.string())
    times = pa.array([0, 0, 2**60], pa.timestamp("ms"))
    table = pa.table({"prompt": prompts, "completion": ["x"] * 3, "created_at": times})
    examples, rejected = read(_write(tmp_path / "a.parquet", table))
    assert [example.line for example in examples] == [1]
    assert [(row.line, row.reason) for row in rejected] == [(2, "unreadable_value"), (3, "unreadable_value")]


def test_a_damaged_row_group_costs_no_other(tmp_path: Path) -> None:
    count = 3_000
    table = pa.table(
        {"prompt": [f"p{n}" for n in range(count)], "completion": [f"c{n}" for n in range(count)]}
    )
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=1_000, compression="zstd", use_dictionary=False)
    content = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    content[start + 20 : start + 60] = b"\xff" * 40
    examples, (bad,) = read_bytes(tmp_path, "a.parquet", bytes(content))
    assert [example.line for example in examples] == [*range(1, 1_001), *range(2_001, 3_001)]
    assert (bad.line, bad.reason) == (1_001, "damaged_file")
    assert "rows 1001 to 2000" in bad.detail


def _badly_named() -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"prompt": ["a"]}), file, store_schema=False)
    return file.getvalue().replace(b"prompt", b"\xe4rompt")


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"not Parquet", b"PAR1" + b"\xff" * 100 + b"PAR1", _badly_named()]
)
def test_what_is_no_parquet_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(WrongInput, match=r"a\.parquet: not a Parquet file"):
        read_bytes(tmp_path, "a.parquet", content)


def test_a_packed_parquet_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="unpack it"):
        read_bytes(tmp_path, "a.parquet.gz", b"\x1f\x8b\x08")
