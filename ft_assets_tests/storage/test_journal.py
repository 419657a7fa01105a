"""Files of rows on their way: kept on return, read in order, and taken over from the dead alone."""

import errno
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from ft_assets.storage.journal import AT_ONCE, Journal, batches

CHILD = """
import pathlib, sys
from ft_assets.storage.journal import Journal
journal = Journal(pathlib.Path(sys.argv[1]))
journal.append({"n": 1})
journal.seal()
journal.append({"n": 2})
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def living(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has appended two rows, and lives."""
    command = [sys.executable, "-c", CHILD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        yield child
        child.kill()


def no_space(_: Journal) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def rows(journal: Journal) -> list[int]:
    """Numbers of all rows of a journal, which are then forgotten."""
    journal.seal()
    found = []
    for file in journal.waiting():
        found += [row["n"] for some in batches(file) for row in some]
        file.unlink()
    return found


def test_rows_come_out_in_the_order_in_which_they_went_in_however_many(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new")
    assert rows(journal) == []
    for number in range(AT_ONCE + 10):
        journal.append({"n": number})
        if number % 100 == 0:
            journal.seal()
    assert rows(journal) == list(range(AT_ONCE + 10))
    assert rows(journal) == []


def test_a_clock_that_is_set_back_changes_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, now = Journal(tmp_path), time.time_ns()
    for number, clock in enumerate([now, now - 3_600_000_000_000, now - 5]):
        monkeypatch.setattr(time, "time_ns", lambda clock=clock: clock)
        journal.append({"n": number})
        journal.seal()
    assert rows(journal) == [0, 1, 2]


def test_a_long_file_is_read_piece_by_piece(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(2 * AT_ONCE + 1):
        journal.append({"n": number})
    journal.seal()
    assert [len(some) for some in batches(journal.waiting()[0])] == [AT_ONCE, AT_ONCE, 1]


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append({"n": 1})
    journal.seal()
    with journal.waiting()[0].open("ab") as file:
        file.write(b'{"n": 2, "te')
    assert rows(journal) == [1]


def test_what_is_handed_over_is_the_heirs_and_may_be_deleted_at_once(tmp_path: Path) -> None:
    journal, heir = Journal(tmp_path), Journal(tmp_path)
    for number in range(4):
        journal.append({"n": number})
        if number % 2:
            journal.hand_over(heir.owner())
            assert rows(heir) == [number - 1, number]
    journal.hand_over(heir.owner())
    assert rows(journal) == rows(heir) == []
    journal.close()
    assert not [*tmp_path.glob("*.jsonl")]


def test_the_next_file_is_begun_when_one_is_handed_over_and_a_disk_too_full_for_it_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, heir = Journal(tmp_path), Journal(tmp_path)
    journal.append({"n": 1})
    journal.hand_over(heir.owner())
    with monkeypatch.context() as full:
        full.setattr(Journal, "_begin", no_space)
        journal.append({"n": 2})  # needs no file any more
        with pytest.raises(OSError, match="No space"):
            journal.hand_over(heir.owner())
        with pytest.raises(OSError, match="No space"):
            journal.append({"n": 3})
    assert rows(heir) == [1, 2]
    journal.append({"n": 4})
    journal.hand_over(heir.owner())
    assert rows(heir) == [4]


@pytest.mark.parametrize("adopted_before", [False, True])
def test_what_is_handed_over_to_one_who_has_ended_is_found(tmp_path: Path, adopted_before: bool) -> None:
    journal, ended, heir = Journal(tmp_path), Journal(tmp_path), Journal(tmp_path)
    name = ended.owner()
    ended.append({"n": 0})
    journal.append({"n": 1})
    ended.close()
    if adopted_before:
        heir.adopt()
    journal.hand_over(name)
    heir.adopt()
    assert rows(heir) == [0, 1]


def test_what_a_full_disk_leaves_of_a_line_spoils_no_other(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append({"n": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        for _ in range(3):
            with pytest.raises(OSError, match=r"No space|too large"):
                journal.append({"n": 2, "text": "more than there is room for"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    journal.append({"n": 3})
    assert rows(journal) == [1, 3]


def test_a_disk_too_full_for_another_file_keeps_none_from_being_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path)
    journal.append({"n": 1})
    with monkeypatch.context() as full:
        full.setattr(Journal, "_begin", no_space)
        assert rows(journal) == [1]
        with pytest.raises(OSError, match="No space"):
            journal.append({"n": 2})
    journal.append({"n": 3})
    assert rows(journal) == [3]


def test_rows_appended_while_files_change_are_neither_lost_nor_mixed(tmp_path: Path) -> None:
    for round_ in range(20):  # the first row, which begins a file, is the most delicate one
        journal, found = Journal(tmp_path / str(round_)), []

        def append(writer: int, journal: Journal = journal) -> None:
            for number in range(50):
                journal.append({"n": 1000 * writer + number})

        with ThreadPoolExecutor(3) as pool:
            writers = [pool.submit(append, writer) for writer in range(3)]
            while not all(writer.done() for writer in writers):
                found += rows(journal)
        found += rows(journal)
        for writer in range(3):
            assert [n for n in found if n // 1000 == writer] == [1000 * writer + n for n in range(50)]


def test_the_living_keep_what_is_theirs_and_the_dead_are_taken_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with living(tmp_path) as child:
        journal.adopt()
        assert rows(journal) == []
        assert journal.holds(before=time.time()) and not journal.holds(before=0)
        child.kill()
        child.wait()
        journal.adopt()
    assert rows(journal) == [1, 2]
    assert not journal.holds(before=time.time())
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_of_many_heirs_one_gets_each_row(tmp_path: Path) -> None:
    for number in range(20):
        dead = Journal(tmp_path)
        dead.append({"n": number})
        dead.close()
    heirs = [Journal(tmp_path) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(Journal.adopt, heirs))
    assert sorted(n for heir in heirs for n in rows(heir)) == list(range(20))
    for heir in heirs:
        heir.close()
    assert list(tmp_path.iterdir()) == []
