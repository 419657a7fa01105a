"""Files are read wherever they lie and however they are packed; damage costs only the rows behind it."""

import bz2
import gzip
import io
import lzma
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
import zstandard

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.sources.stored_file import StoredFile
from ft_assets_tests.sources.read import lines, read, read_bytes, row


def _zip(content: bytes, *names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("inside.jsonl",):
            archive.writestr(name, b"" if name.endswith("/") else content)
    return packed.getvalue()


_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": zstandard.compress,
    "bz2": lambda content: bz2.compress(content, 1),  # small blocks: damage costs a whole one
    "xz": lzma.compress,
    "zip": _zip,
}


@pytest.mark.parametrize("ending", _PACKERS)
@pytest.mark.parametrize("name", ["a.jsonl.{}", "a.jsonl"])
def test_packed_files_are_read_whatever_their_name_says(tmp_path: Path, ending: str, name: str) -> None:
    examples, rejected = read_bytes(tmp_path, name.format(ending), _PACKERS[ending](lines(500)))
    assert [example.line for example in examples] == list(range(1, 501))
    assert rejected == []


@pytest.mark.parametrize("ending", ["gz", "zst", "bz2", "xz"])
def test_files_packed_in_several_parts_are_read_to_the_end(tmp_path: Path, ending: str) -> None:
    parts = [_PACKERS[ending](lines(3) + b"\n") for _ in range(3)]
    examples, rejected = read_bytes(tmp_path, f"a.jsonl.{ending}", b"".join(parts))
    assert (len(examples), rejected) == (9, [])


@pytest.mark.parametrize("ending", ["gz", "zst", "bz2", "xz"])
def test_a_truncated_file_keeps_the_rows_before_the_damage(tmp_path: Path, ending: str) -> None:
    generator = random.Random(1)
    content = "\n".join(row(id=n, noise=generator.randbytes(400).hex()) for n in range(1_500)).encode()
    packed = _PACKERS[ending](content)
    examples, (bad,) = read_bytes(tmp_path, f"a.jsonl.{ending}", packed[: len(packed) // 2])
    assert 300 < len(examples) < 1_000
    assert [example.line for example in examples] == list(range(1, len(examples) + 1))
    assert bad.reason == "damaged_file" and "copy it again" in bad.detail
    assert bad.line in (len(examples), len(examples) + 1)


def test_a_file_that_lost_only_its_checksum_keeps_every_row(tmp_path: Path) -> None:
    examples, (bad,) = read_bytes(tmp_path, "a.jsonl.gz", gzip.compress(lines(5))[:-8])
    assert (len(examples), bad.reason) == (5, "damaged_file")


@pytest.mark.parametrize("ending", _PACKERS)
def test_changed_bytes_are_damage_and_no_traceback(tmp_path: Path, ending: str) -> None:
    packed = bytearray(_PACKERS[ending](lines(2_000)))
    for place in range(len(packed) // 3, len(packed) // 3 + 8):
        packed[place] ^= 0xFF
    examples, rejected = read_bytes(tmp_path, f"a.jsonl.{ending}", bytes(packed))
    assert rejected[-1].reason in ("damaged_file", "not_json", "not_utf8")
    assert len(examples) <= 2_000


def test_an_archive_of_several_files_is_refused_and_not_read_in_part(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match=r"a\.jsonl\.zip: an archive of 2 files; unpack it"):
        read_bytes(tmp_path, "a.jsonl.zip", _zip(lines(3), "one.jsonl", "two.jsonl"))
    examples, _ = read_bytes(tmp_path, "a.jsonl.zip", _zip(lines(3), "folder/", "folder/one.jsonl"))
    assert len(examples) == 3


def test_a_kilobyte_that_unpacks_to_megabytes_comes_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "a.zst").write_bytes(zstandard.compress(b"ab\n" * 4_000_000))
    chunks = [len(chunk) for chunk in StoredFile(str(tmp_path / "a.zst")).chunks()]
    assert (sum(chunks), max(chunks)) == (12_000_000, 1 << 18)


def test_what_is_packed_in_name_only(tmp_path: Path) -> None:
    _, (bad,) = read_bytes(tmp_path, "a.jsonl.gz", b"not gzip")
    assert (bad.line, bad.reason) == (1, "damaged_file")
    _, (bad,) = read_bytes(tmp_path, "a.jsonl.zip", _zip(b"")[:10])
    assert bad.reason == "damaged_file"


def test_remote_files_are_read() -> None:
    with fsspec.open("memory://folder/chat.jsonl.gz", "wb") as file:
        file.write(gzip.compress(lines(3)))  # pyright: ignore[reportAttributeAccessIssue]
    examples, _ = read("memory://folder/chat.jsonl.gz")
    assert [example.source for example in examples] == [f"chat.jsonl.gz#{number}" for number in range(3)]


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="no such file"):
        read(tmp_path / "absent.jsonl")
    with pytest.raises(WrongInput, match="no such file"):
        read("memory://folder/absent.jsonl")
    with pytest.raises(WrongInput, match="name a file that can be read"):
        read(tmp_path)
    with pytest.raises((WrongInput, BrokenEnvironment), match="nowhere"):
        read("nowhere://bucket/chat.jsonl")


def test_the_stamp_changes_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(1))
    before = StoredFile(str(path)).stamp()
    assert before and before == StoredFile(str(path)).stamp()
    path.write_bytes(lines(2))
    assert StoredFile(str(path)).stamp() != before
