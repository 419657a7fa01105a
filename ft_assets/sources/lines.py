"""The lines of a text file in bounded memory: what cannot be a line is rejected, and reading goes on."""

import codecs
from collections.abc import Iterator
from typing import NamedTuple

from ft_assets.sources.rejected import Rejected, start_of
from ft_assets.sources.stored_file import Damaged, StoredFile

LONGEST = 16 * 2**20
"""Bytes of the longest line that is read."""

_UTF32 = {codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE}
_UTF16 = {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}


class Line(NamedTuple):
    """One line, without its end.

    Attributes:
        number: from 1.
        whole: False for what stands before damage, and may be half a line.
    """

    number: int
    text: str
    whole: bool = True


def read_lines(file: StoredFile) -> Iterator[Line | Rejected]:
    """Every line, in order; a damaged file ends with one Rejected that says so.

    UTF-8; UTF-16 and UTF-32 where the file begins with their byte order mark.

    Raises:
        WrongInput, BrokenEnvironment: the file cannot be opened or reached.
    """
    splitter = _Splitter(file.name)
    try:
        for chunk in utf8_chunks(file):
            yield from splitter.split(chunk)
        yield splitter.rest()
    except Damaged as error:
        if isinstance(half := splitter.rest(), Line):
            yield half._replace(whole=False)
        yield damage(file, splitter.number, error)


def utf8_chunks(file: StoredFile) -> Iterator[bytes]:
    """The file's bytes as UTF-8 without a byte order mark. What is not UTF-8 is left for others to find.

    Raises:
        Damaged: after the last bytes that could be unpacked.
    """
    chunks = file.chunks()
    start = b""
    while len(start) < 4 and (chunk := next(chunks, b"")):
        start += chunk
    encoding = "utf-32" if start[:4] in _UTF32 else "utf-16" if start[:2] in _UTF16 else None
    if encoding is None:
        yield start.removeprefix(codecs.BOM_UTF8)
        yield from chunks
        return
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
    try:
        yield decoder.decode(start).encode(errors="surrogatepass")
        for chunk in chunks:
            yield decoder.decode(chunk).encode(errors="surrogatepass")
        decoder.decode(b"", final=True)
    except UnicodeError as error:
        raise Damaged(f"not {encoding.upper()}: {error}") from error


def damage(file: StoredFile, line: int, error: Damaged) -> Rejected:
    """What is said, once, about all that lies behind the damage."""
    detail = f"the file is damaged from here on ({error!s:.200}); the rows before are used; copy it again"
    return Rejected(file.name, line, "damaged_file", detail, "")


class _Splitter:
    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 0
        self._tail = bytearray()
        self._too_long = False

    def split(self, chunk: bytes) -> Iterator[Line | Rejected]:
        *ends, tail = chunk.split(b"\n")
        for end in ends:
            yield self._line(end)
        self._add(tail)

    def rest(self) -> Line | Rejected:
        """The last line; blank where the one before has its end."""
        return self._line(b"")

    def _add(self, part: bytes) -> None:
        if len(self._tail) + len(part) > LONGEST:
            self._too_long = True
        self._tail += part[: LONGEST + 1 - len(self._tail)]

    def _line(self, end: bytes) -> Line | Rejected:
        self.number += 1
        raw = end
        if self._tail or len(end) > LONGEST:
            self._add(end)
            raw, self._tail = bytes(self._tail), bytearray()
        if self._too_long:
            self._too_long = False
            return self._rejected("line_too_long", f"the line is over {LONGEST >> 20} MB; split it", raw)
        try:
            return Line(self.number, raw.decode())
        except UnicodeDecodeError as error:
            detail = f"byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8"
            return self._rejected("not_utf8", detail, raw)

    def _rejected(self, reason: str, detail: str, raw: bytes) -> Rejected:
        return Rejected(self.name, self.number, reason, detail, start_of(raw))
