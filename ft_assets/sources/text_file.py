"""A text file that people made, wherever fsspec reaches: read as a stream of UTF-8 lines."""

import gzip
import hashlib
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import PurePosixPath
from typing import NoReturn, TypeVar

from fsspec.core import OpenFile, get_compression, url_to_fs

from ft_assets.errors import BrokenEnvironment, WrongInput

_UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)
_DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)
_T = TypeVar("_T")


class Line:
    """One line, and where it is: the start of every message about it.

    Args:
        number: from 1.
    """

    def __init__(self, path: str, number: int, text: str = "") -> None:
        self.path, self.number, self.text = path, number, text

    def wrong(self, field: str, problem: str, instead: str) -> NoReturn:
        """Raise WrongInput that names file, line, field (where there is one) and what to write instead."""
        where = f"{self.path}, line {self.number}" + (f", field `{field}`" if field else "")
        raise WrongInput(f"{where}: {problem}; {instead}")


class TextFile:
    """A local path or any fsspec URL; `.gz` and the like are unpacked.

    Raises (all methods):
        WrongInput: there is no such file, or it cannot be read.
        BrokenEnvironment: the store that the URL names cannot be reached.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._store, self._location = self._ask(lambda: url_to_fs(path))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self._location).name

    def lines(self) -> Iterator[Line]:
        """Every line that is not blank."""
        number = 0
        compression = get_compression(self._location, "infer")
        file = OpenFile(self._store, self._location, "rb", compression=compression)
        with self._ask(file.open) as stream:
            while raw := self._ask(stream.readline):
                number += 1
                line = Line(self.path, number, _decode(raw, Line(self.path, number)))
                if line.text.strip():
                    yield line

    @cached_property
    def modified(self) -> datetime:
        """When the file was last written; the start of 1970 where its store does not say."""
        try:
            moment = self._store.modified(self._location)
        except (NotImplementedError, KeyError):
            return _UNKNOWN
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    def stamp(self) -> str | None:
        """Changes when the file is written; None where its store keeps no time or tag to tell by."""
        self._store.invalidate_cache()
        info = self._ask(lambda: self._store.info(self._location))
        marks = {name: str(info[name]) for name in ("mtime", "LastModified", "ETag", "size") if name in info}
        return hashlib.sha256(json.dumps(marks).encode()).hexdigest() if marks.keys() - {"size"} else None

    def _ask(self, question: Callable[[], _T]) -> _T:
        try:
            return question()
        except FileNotFoundError as error:
            raise WrongInput(
                f"{self.path}: there is no such file; correct `path` under `sources` of the recipe"
            ) from error
        except (IsADirectoryError, PermissionError) as error:
            raise WrongInput(
                f"{self.path}: {error.strerror or error}; name a file that can be read"
            ) from error
        except _DAMAGED as error:
            raise WrongInput(
                f"{self.path}: the compressed file is damaged ({error}); copy it again"
            ) from error
        except ValueError as error:
            raise WrongInput(f"{self.path}: {error}; write a local path or an fsspec URL") from error
        except (ImportError, OSError) as error:
            raise BrokenEnvironment(f"{self.path} cannot be reached: {error}") from error


def _decode(raw: bytes, line: Line) -> str:
    first = line.number == 1
    if first and raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        line.wrong("", "the file is UTF-16 or UTF-32", "save it as UTF-8")
    try:
        return raw.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError as error:
        line.wrong("", f"byte {error.start + 1} is not UTF-8", "save the file as UTF-8")
