"""Presidio's predefined recognisers without its engine: patterns and checksums, no language model, no network."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

from ft_assets.curation.pii.recogniser import Find, Spans

# Below this Presidio itself says that a match alone means nothing, such as any ten characters for an Indian PAN.
_MIN_SCORE = 0.04
# Some of its patterns are quadratic on bait, so no text longer than this is given to them at once.
_PIECE = 1_000
_MARGIN = 300


def presidio(name: str, *patterns: str, **options: Any) -> Find:
    """What the recogniser class `name` finds; it is imported when the first text is searched.

    Args:
        patterns: regular expressions in place of its own; its checks of a match stay.
        options: arguments of its constructor.
    """

    @cache
    def recognizer() -> Any:
        if patterns:
            options["patterns"] = [_library().Pattern(name, pattern, 0.5) for pattern in patterns]
        return _recognizer_class(name)(**options)

    return lambda text: _analyze(recognizer(), text)


def presidio_patterns(name: str) -> list[str]:
    """The regular expressions that the recogniser class `name` comes with."""
    return [pattern.regex for pattern in _recognizer_class(name).PATTERNS]


def _analyze(recognizer: Any, text: str) -> Spans:
    for offset, piece, core in _pieces(text):
        for result in recognizer.analyze(piece, recognizer.supported_entities):
            if core.start <= result.start < core.stop and result.score >= _MIN_SCORE:
                yield offset + result.start, offset + result.end


def _pieces(text: str) -> Iterator[tuple[int, str, slice]]:
    """Pieces that overlap, each with its offset and the part of it in which matches may start."""
    if len(text) <= _PIECE + _MARGIN:
        yield 0, text, slice(0, len(text))
        return
    for start in range(0, len(text), _PIECE):
        offset = max(0, start - _MARGIN)
        yield offset, text[offset : start + _PIECE + _MARGIN], slice(start - offset, start - offset + _PIECE)


@cache
def _library() -> ModuleType:
    # Presidio imports transformers, and spaCy's thinc torch, only because they are there: eight seconds and half a
    # gigabyte for engines that are not used here. Python's own way to say "not installed" is None in sys.modules.
    with _as_if_missing("torch", "transformers"):
        import presidio_analyzer.predefined_recognizers
    return presidio_analyzer


@contextmanager
def _as_if_missing(*names: str) -> Iterator[None]:
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _recognizer_class(name: str) -> Callable[..., Any]:
    recognizer = getattr(_library().predefined_recognizers, name)
    return _offline(recognizer) if name == "EmailRecognizer" else recognizer


def _offline(recognizer: Any) -> Any:
    """The class with the public suffix list that tldextract ships, as the default one is fetched at run time."""
    import tldextract

    known = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)

    class OfflineEmailRecognizer(recognizer):
        def validate_result(self, pattern_text: str) -> bool:
            domain = pattern_text.rpartition("@")[2].lower()
            return bool(_RESERVED.search(domain) or known(domain).fqdn)

    return OfflineEmailRecognizer


# Names that no registry gives out and that mail inside a company uses (RFC 2606, RFC 6762, ICANN's .internal).
_RESERVED = re.compile(r"\.(?:local|localdomain|internal|intranet|corp|lan|home|test|example|invalid)$")
