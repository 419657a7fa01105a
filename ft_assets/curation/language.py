"""The language that a text is in, where enough of it is prose to tell."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from ft_assets.errors import WrongInput

_LEAST_BYTES = 30
"""Letters, in bytes of UTF-8, from which a text is judged: single words and names belong to many languages."""
_MOST_SYMBOLS = 0.25
"""Texts with a larger share of digits and ASCII punctuation are taken for code, tables or formulas."""
_LEAST_CONFIDENCE = 0.8
_NO_LANGUAGE = "zxx"

# Code, addresses and placeholders say nothing about the language of the words around them.
_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|<[A-Z_]+_\d+>", re.DOTALL)
_SYMBOL = re.compile(r"[!-@\[-`{-~]")


def detect(texts: Sequence[str]) -> list[str | None]:
    """ISO 639-1 code of each text's language; None where it is short, code-like, or in doubt.

    By py3langid (naive Bayes over byte n-grams; Lui and Baldwin 2012), which gives the same for the same text.
    """
    return [_detect(text) for text in texts]


def check_languages(codes: Sequence[str]) -> None:
    """Refuse codes that no text is ever found to be in.

    Raises:
        WrongInput: names the code.
    """
    known = set(_identifier().labels) - {_NO_LANGUAGE} if codes else set()
    for code in codes:
        if code not in known:
            raise WrongInput(
                f"`languages`: {code!r} is no language that can be told; write ISO 639-1 codes, of "
                f"{', '.join(sorted(known))}"
            )


def _detect(text: str) -> str | None:
    prose = _NOT_PROSE.sub(" ", text)
    words, symbols = _SYMBOL.subn("", prose)
    if symbols > _MOST_SYMBOLS * len(prose) or len("".join(words.split()).encode()) < _LEAST_BYTES:
        return None
    code, confidence = _identifier().classify(prose)
    return code if confidence >= _LEAST_CONFIDENCE and code != _NO_LANGUAGE else None


@cache
def _identifier() -> Any:
    """Restricted to what has a two-letter code: dialects without one are found to be their closest language."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages([code for code in identifier.labels if len(code) == 2] + [_NO_LANGUAGE])
    return identifier
