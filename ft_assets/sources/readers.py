"""From a source named in a recipe to its examples."""

from collections.abc import Iterator

from ft_assets.recipe import ChatSource, DocstringSource, Source
from ft_assets.sources.batches import Origin
from ft_assets.sources.chat_jsonl import read_chat
from ft_assets.sources.docstrings import docstrings_stamp, read_docstrings
from ft_assets.sources.example import Example
from ft_assets.sources.text_file import TextFile


def read_source(source: Source) -> Iterator[Example]:
    """Examples of a source, in an order that does not change from one reading to the next.

    Raises:
        WrongInput: the source cannot be read as what it says it is; nothing of it should be used.
    """
    match source:
        case DocstringSource():
            return read_docstrings(source.packages, source.license, source.max_rows)
        case ChatSource():
            return read_chat(source.path, source.slice, source.license)


def source_stamp(source: Source) -> str | None:
    """A short text that changes when the source's files do; None where that cannot be told cheaply."""
    match source:
        case DocstringSource():
            return docstrings_stamp(source.packages)
        case ChatSource():
            return TextFile(source.path).stamp()


def source_origin(source: Source) -> Origin:
    """How batches of this source are labelled."""
    return "file" if isinstance(source, ChatSource) else "source"
