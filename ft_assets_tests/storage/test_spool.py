"""The file that rows wait in: kept on return, delivered in order, and never stuck."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ft_assets.storage.spool import AT_ONCE, Spool


def delivered(spool: Spool) -> list[int]:
    found: list[int] = []
    while not spool.empty:
        spool.deliver(lambda row: found.append(row["n"]))
    return found


def test_rows_come_out_in_the_order_in_which_they_went_in_however_many(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "new" / "spool.jsonl")
    assert spool.empty and spool.deliver(print) == 0
    for number in range(AT_ONCE + 10):
        spool.append({"n": number})
    assert delivered(Spool(tmp_path / "new" / "spool.jsonl")) == list(range(AT_ONCE + 10))


def test_what_is_not_taken_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.jsonl")
    for number in range(3):
        spool.append({"n": number})

    def refuse(row: dict) -> None:
        if row["n"] == 1:
            raise RuntimeError("away")

    with pytest.raises(RuntimeError):
        spool.deliver(refuse)
    assert delivered(spool) == [1, 2]


def test_half_a_line_is_left_out_and_spoils_no_other(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.jsonl")
    spool.append({"n": 1})
    with (tmp_path / "spool.jsonl").open("ab") as file:
        file.write(b'{"n": 2, "te')
    spool.append({"n": 3})
    assert delivered(spool) == [1, 3]


def test_several_may_write_and_deliver_at_once(tmp_path: Path) -> None:
    found: list[int] = []

    def work(number: int) -> None:
        spool = Spool(tmp_path / "spool.jsonl")
        spool.append({"n": number})
        spool.deliver(lambda row: found.append(row["n"]))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(60)))
    assert sorted(found) == list(range(60))
