"""Text as its author meant it: broken encodings mended, one kind of line break, nothing invisible.

Code and prose go through the same function, so the tidying that would change code (straight quotes,
HTML entities, ligatures, full-width letters) is off.
"""

import re

from ftfy import TextFixerConfig, fix_text

_CONFIG = TextFixerConfig(
    unescape_html=False,
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    normalization="NFC",
    explain=False,
)

# Zero-width spaces and direction overrides: they hide text from people and words from the filters.
# Joiners (U+200C, U+200D) stay: Persian, Indic scripts and emoji are written with them.
_INVISIBLE = re.compile("[\u200b\u2060\u202a-\u202e\u2066-\u2069]")


def normalise(text: str) -> str:
    """Mend mojibake, drop control characters and byte order marks, use `\\n`, and strip the ends."""
    return _INVISIBLE.sub("", fix_text(text, _CONFIG)).strip()
