"""Telephone numbers: runs of digits that could be one, judged by Presidio's recogniser or by their form."""

import re
from functools import lru_cache

from ft_assets.curation.pii.presidio import presidio
from ft_assets.curation.pii.recogniser import Recogniser, Spans

_WORDS = ("phone", "telephone", "tel", "telefon", "téléphone", "teléfono", "mobile", "mobil", "cellphone", "cell",
          "fax", "whatsapp", "hotline", "call", "dial", "sms")  # fmt: skip
_REGIONS = ("US", "GB", "DE", "FR", "IN", "BR", "ES", "IT", "AU", "PL")
_presidio = presidio("PhoneRecognizer", supported_regions=_REGIONS)

# Presidio tries every region at every digit, a quarter of a millisecond each: it is shown the runs only, and of
# those that are longer than a number of 15 digits may be written only what a word says is one.
_RUN = re.compile(r"(?<!\w)[+(]{0,2}\d(?:[ ()./-]{0,3}\d){6,24}(?!\w)")
_DATE = r"(?:19|20)\d\d[-/. ](?:0?[1-9]|1[0-2])[-/. ](?:0?[1-9]|[12]\d|3[01])(?!\d)"
_OTHER_NUMBER = re.compile(
    rf"{_DATE}|\d\d?[-/.]\d\d?[-/.](?:19|20)\d\d(?!\d)"
    r"|97[89][ -]\d|\d[ -]\d{2,7}[ -]\d{1,6}[ -]\d$"  # ISBN
    r"|\d{5}-\d{4}$"  # US postal code
    r"|\+?\d+\.\d+(?:[ /-]+\d+(?:\.\d+)?)*$"  # floats
    r"|\d{1,5}(?:\.\d{1,5}){3}$"  # IP address, version
    r"|(?:19|20)\d\d ?[-/] ?(?:19|20)\d\d$"  # years
)
_LONE_DIGIT = re.compile(r"(?<!\d)\d(?!\d)")
# These forms are telephone numbers whether or not anybody has them, as the ones in examples.
_FORM = re.compile(
    r"(?<![\w+)\]])\+\d(?:[ ().-]{0,2}\d){7,14}(?!\w)"
    r"|(?<![\w.+-])(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])\d{3}[ .-]\d{4}(?![\w-])"
)
_FORM_AFTER_WORD = re.compile(r"\d(?:[ ()/.-]{0,2}\d){6,14}(?!\w)")
_LOOK_BACK = 20


def _find(text: str) -> Spans:
    yield from (match.span() for match in _FORM.finditer(text))
    for run in _RUN.finditer(text):
        value = run[0]
        named = _has_word(text[max(0, run.start() - _LOOK_BACK) : run.start()].lower())
        if _OTHER_NUMBER.match(value) or not (named or _may_stand_alone(value)):
            continue
        found = [(run.start() + start, run.start() + end) for start, end in _in_use(value)]
        if not found and named and (match := _FORM_AFTER_WORD.match(text, run.start())):
            found = [match.span()]
        yield from found


@lru_cache(maxsize=4096)
def _in_use(value: str) -> tuple[tuple[int, int], ...]:
    return tuple(_presidio(value))


def _may_stand_alone(value: str) -> bool:
    digits = sum(map(str.isdigit, value))
    return digits <= 20 and digits < len(value) and len(_LONE_DIGIT.findall(value)) <= 3


def _has_word(before: str) -> bool:
    return any(word in before for word in _WORDS)


def _is_phone(value: str) -> bool:
    return 7 <= sum(letter.isdigit() for letter in value) <= 20 and not _OTHER_NUMBER.match(value)


PHONE = Recogniser(
    "PHONE",
    _find,
    alone=re.compile(r"\+|\(\+?\d{1,5}\)|\d{2,}[ ./(-]|1[ .-]"),
    words=_WORDS,
    never=re.compile(r"\w\($"),
    accept=_is_phone,
    digits=7,
    form=re.compile(r"\d(?:[ ()./-]{0,4}\d){6}"),
)
