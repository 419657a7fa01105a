"""A file that people made, wherever fsspec reaches, unpacked as it is read."""

import gzip
import hashlib
import json
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import cached_property
from io import BufferedReader
from pathlib import PurePosixPath
from typing import IO, Any, cast

import zstandard
from fsspec.compression import compr
from fsspec.core import get_compression, url_to_fs

from ft_assets.errors import BrokenEnvironment, WrongInput

UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""When rows were made that do not say so, from a place that does not say so either."""

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
}
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError, zipfile.BadZipFile, zstandard.ZstdError)
_UNPACKABLE = (*_DAMAGED, IndexError, NotImplementedError, RuntimeError, ValueError)
_CHUNK = 1 << 18
_START = 1 << 14


class Damaged(Exception):
    """The packed file ends early or its bytes were changed; what was read before stands."""


class StoredFile:
    """A local path or any fsspec URL.

    Raises (all methods):
        WrongInput: there is no such file, or it cannot be read.
        BrokenEnvironment: the store that the URL names cannot be reached.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with self._plain_errors():
            self._store, self._location = url_to_fs(path)

    @cached_property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self._location).name

    @cached_property
    def modified(self) -> datetime:
        """When the file was last written; `UNKNOWN_TIME` where its store does not say."""
        with self._plain_errors():
            try:
                moment = self._store.modified(self._location)
            except (NotImplementedError, KeyError):
                return UNKNOWN_TIME
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    def stamp(self) -> str | None:
        """Changes when the file, or one in the folder, is written; None where its store has nothing to tell by."""
        with self._plain_errors():
            self._store.invalidate_cache()
            info = self._store.info(self._location)
            if info.get("type") != "directory":
                return _stamp([info])
            return _stamp(info for _, info in sorted(self._store.find(self._location, detail=True).items()))

    @contextmanager
    def packed(self) -> Iterator[BufferedReader]:
        """The file as it lies there, for readers that seek."""
        with self._plain_errors():
            stream = self._store.open(self._location, "rb")
        with closing(BufferedReader(cast(Any, stream), _CHUNK)) as buffered:
            yield buffered

    def chunks(self) -> Iterator[bytes]:
        """The file's bytes, unpacked, a piece at a time.

        Raises:
            Damaged: after the last bytes that could be unpacked.
        """
        with ExitStack() as stack:
            stream = stack.enter_context(self.packed())
            with self._plain_errors():
                compression = self._compression(stream)
            pieces = self._unpack(stream, compression)
            # bz2 has no error of its own.
            damaged = (*_DAMAGED, OSError) if compression == "bz2" else _DAMAGED
            while chunk := self._next(pieces, damaged):
                yield chunk

    def first_bytes(self) -> bytes:
        """Some KB from the start, unpacked; what there is where the file is shorter or damaged."""
        chunks, start = self.chunks(), b""
        with closing(cast(Any, chunks)), suppress(Damaged):
            while len(start) < _START and (chunk := next(chunks, b"")):
                start += chunk
        return start

    @property
    def plain_name(self) -> str:
        """The file's name without the ending that says how it is packed, in lower case."""
        name = self.name.lower()
        return name.rsplit(".", 1)[0] if get_compression(name, "infer") else name

    def is_packed(self) -> bool:
        """Whether reading means unpacking."""
        with self.packed() as stream, self._plain_errors():
            return self._compression(stream) is not None

    def _compression(self, stream: BufferedReader) -> str | None:
        """By the file's first bytes; by its name where they say nothing."""
        start = stream.peek(6)
        known = (compression for magic, compression in _MAGIC.items() if start.startswith(magic))
        return next(known, get_compression(self._location, "infer"))

    def _unpack(self, stream: BufferedReader, compression: str | None) -> Iterator[bytes]:
        match compression:
            case None:
                return _read(lambda: stream)
            case "zstd":
                return _unpack_zstd(stream)
            case "zip":
                return _read(lambda: self._only_file(zipfile.ZipFile(stream)))
            case _:
                return _read(lambda: cast(dict[str, Any], compr)[compression](stream, mode="rb"))

    def _only_file(self, archive: zipfile.ZipFile) -> IO[bytes]:
        names = [item.filename for item in archive.infolist() if not item.is_dir()]
        if len(names) != 1:
            raise WrongInput(
                f"{self.path}: an archive of {len(names)} files; unpack it and name each file as a source"
            )
        return archive.open(names[0])

    def _next(self, pieces: Iterator[bytes], damaged: tuple[type[Exception], ...]) -> bytes:
        with self._plain_errors():
            try:
                return next(pieces, b"")
            except damaged as error:
                raise Damaged(str(error)) from error

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except (Damaged, WrongInput, BrokenEnvironment):
            raise
        except FileNotFoundError as error:
            raise WrongInput(
                f"{self.path}: there is no such file; correct `path` under `sources` of the recipe"
            ) from error
        except (IsADirectoryError, PermissionError) as error:
            raise WrongInput(
                f"{self.path}: {error.strerror or error}; name a file that can be read"
            ) from error
        except ValueError as error:
            raise WrongInput(f"{self.path}: {error}; write a local path or an fsspec URL") from error
        except Exception as error:  # each store has its own: botocore's, aiohttp's, google's
            raise BrokenEnvironment(f"{self.path} cannot be reached: {error}") from error


def _stamp(files: Iterable[dict[str, Any]]) -> str | None:
    names = ("name", "mtime", "LastModified", "ETag", "size")
    marks = [{name: str(file[name]) for name in names if name in file} for file in files]
    told = marks and all(mark.keys() - {"name", "size"} for mark in marks)
    return hashlib.sha256(json.dumps(marks).encode()).hexdigest() if told else None


def _read(unpack: Callable[[], IO[bytes]]) -> Iterator[bytes]:
    try:
        unpacked = unpack()
    except _UNPACKABLE as error:
        raise Damaged(str(error)) from error
    # One read of what lies below: a fuller one would throw away good bytes when it meets damage.
    read = getattr(unpacked, "read1", unpacked.read)
    while chunk := read(_CHUNK):
        yield chunk


def _unpack_zstd(stream: BufferedReader) -> Iterator[bytes]:
    """Frame after frame. The library's own file object takes an early end for the end, and stops at one frame."""
    decompressor = None
    while block := stream.read1(_CHUNK):
        for start in range(0, len(block), 1024):  # 1 KiB can unpack to 32 MiB
            rest = block[start : start + 1024]
            while rest:
                decompressor = decompressor or zstandard.ZstdDecompressor().decompressobj()
                out = decompressor.decompress(rest)
                yield from (out[at : at + _CHUNK] for at in range(0, len(out), _CHUNK))
                rest = decompressor.unused_data if decompressor.eof else b""
                decompressor = None if decompressor.eof else decompressor
    if decompressor is not None:
        raise EOFError("the compressed file ends in the middle of a frame")
