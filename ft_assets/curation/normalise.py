"""Text as its author meant it: broken encodings mended, one kind of line break and blank, nothing invisible.

Code and prose go through the same function, so the tidying that would change code (straight quotes,
HTML entities, ligatures, full-width letters) is off, and indentation stays.
"""

import json
import re
from typing import Any

from ftfy import TextFixerConfig, fix_text

_CONFIG = TextFixerConfig(
    unescape_html=False,
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    normalization="NFC",
    explain=False,
)

# Text that needs no mending, told in a few microseconds where ftfy takes hundreds: printable ASCII, with single
# typographic marks and Latin letters in it. Every kind of mojibake that ftfy knows has two neighbours that are not
# ASCII, or one of `ÂÃŒœ`.
_SOUND = re.compile(
    "[\t\n\x0c -~]*(?:[–—‘’“”…•°€£©®¡¿«»À-ÁÄ-ÖØ-öø-ÿ][\t\n\x0c -~]+)*[–—‘’“”…•°€£©®¡¿«»À-ÁÄ-ÖØ-öø-ÿ]?"
)

# Characters without a shape hide text from people and words from the filters: soft hyphens, zero-width spaces,
# marks and overrides of direction, invisible operators, and tags, which can spell out whole instructions.
# Joiners (U+200C, U+200D) stay, as Persian, Indic scripts and emoji are written with them, but not within ASCII.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\U000e0000-\U000e007f]"
    "|(?<=[\x21-\x7e])[\u200c\u200d]+"
)
# Blanks of some width. The ideographic one (U+3000) stays: it is how CJK text indents.
_BLANK = re.compile("[\u00a0\u2000-\u200a\u202f\u205f]")
_BLANKS_AT_LINE_END = re.compile(r"(?<![ \t])[ \t]+(?=\n)")


def normalise(text: str) -> str:
    """Mend mojibake, drop what is invisible, use `\\n` and plain blanks, none of them at the end of a line or text.

    What was lost before (U+FFFD) stays, for the filter `mangled_text` to judge.
    """
    text = _mend(text)
    if " \n" in text or "\t\n" in text:
        text = _BLANKS_AT_LINE_END.sub("", text)
    return text.strip()


def normalise_json(text: str) -> str:
    """JSON text with every string in it mended; text that is no JSON is normalised as text.

    Strings keep their blanks: the argument of a call may be a file's text.
    """
    if text.isascii() and "\\" not in text:
        return text  # nothing is written in escapes, so nothing can need mending
    try:
        value = json.loads(text)
        mended = _mend_strings(value)
    except (ValueError, RecursionError):
        return normalise(text)
    return text if mended == value else json.dumps(mended, sort_keys=True, separators=(",", ":"))


def _mend(text: str) -> str:
    if _SOUND.fullmatch(text):
        return text
    mended = fix_text(text, _CONFIG)
    bare = _INVISIBLE.sub("", mended)
    if bare != mended:  # letters that stood apart are now neighbours, and may be one
        bare = fix_text(bare, _CONFIG)
    return _BLANK.sub(" ", bare)


def _mend_strings(value: Any) -> Any:
    match value:
        case dict():
            return {_mend(key): _mend_strings(item) for key, item in value.items()}
        case list():
            return [_mend_strings(item) for item in value]
        case str() if value.lstrip().startswith(("{", "[")):  # arguments of a call are JSON within JSON
            return normalise_json(value)
        case str():
            return _mend(value)
    return value
