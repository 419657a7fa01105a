"""A JSON file that is one list of objects, as Alpaca's and ShareGPT's first files were."""

import re
from collections.abc import Iterator

from ft_assets.sources.jsonl import parse_object
from ft_assets.sources.lines import LONGEST, damage, utf8_chunks
from ft_assets.sources.rejected import Rejected, start_of
from ft_assets.sources.row import BadRow, Row
from ft_assets.sources.stored_file import Damaged, StoredFile

# Whole texts in quotes (brackets in them mean nothing), brackets, and commas; a text whose end is not read yet
# is the last kind. `*+` never gives back: such a text would be gone through backwards as well.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},]|"', re.DOTALL)
_PIECE = 1 << 20
_OPENING, _CLOSING = (b"[", b"{"), (b"]", b"}")


def read_json_array(file: StoredFile) -> Iterator[Row | Rejected]:
    """One Row or Rejected for every element of the list; `line` is its number from 1.

    Raises:
        WrongInput, BrokenEnvironment: the file cannot be opened or reached.
    """
    number = 0
    try:
        for number, element in enumerate(_elements(_pieces(utf8_chunks(file))), start=1):
            yield _read(file.name, number, element)
    except Damaged as error:
        yield damage(file, number + 1, error)


def _read(name: str, number: int, element: bytes) -> Row | Rejected:
    try:
        text = element.decode()
        return Row(number, parse_object(text), text)
    except UnicodeDecodeError:
        return Rejected(name, number, "not_utf8", "not UTF-8; save the file as UTF-8", start_of(element))
    except BadRow as bad:
        return Rejected(name, number, bad.reason, bad.detail, start_of(element))


def _pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same in pieces of a megabyte: every piece has a text whose end is not read yet searched again."""
    piece = bytearray()
    try:
        for chunk in chunks:
            piece += chunk
            if len(piece) >= _PIECE:
                yield bytes(piece)
                piece.clear()
    except Damaged:
        yield bytes(piece)
        raise
    yield bytes(piece)


def _elements(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The texts between the outer brackets and commas.

    Raises:
        Damaged: after the last whole element, where the list does not end or more than the list is there.
    """
    buffer, depth, start, searched = b"", 0, 0, 0
    damaged = Damaged("the list has no closing bracket")
    try:
        for chunk in chunks:
            buffer, start, searched = buffer[start:] + chunk, 0, searched - start
            for token in _TOKEN.finditer(buffer, searched):
                mark = token[0]
                if mark == b'"':
                    break
                searched = token.end()
                depth += (mark in _OPENING) - (mark in _CLOSING)
                opens = depth == 1 and mark in _OPENING
                ends = (depth == 1 and mark == b",") or depth == 0
                if ends and (element := buffer[start : token.start()].strip()):
                    yield element
                if depth == 0:
                    _expect_nothing(buffer[token.end() :], chunks)
                    return
                if opens or ends:
                    start = token.end()
            if len(buffer) - start > LONGEST:
                raise Damaged(f"an element of the list does not end within {LONGEST >> 20} MB")
    except Damaged as error:
        damaged = error
    if depth == 1 and (element := buffer[start:searched].strip()):
        yield element
    raise damaged


def _expect_nothing(rest: bytes, chunks: Iterator[bytes]) -> None:
    if rest.strip() or any(chunk.strip() for chunk in chunks):
        raise Damaged("there is more behind the list's closing bracket")
