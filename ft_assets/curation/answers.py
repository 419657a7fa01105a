"""What is wrong with an answer that a model is to imitate: each function gives words for it, or None."""

import re
from collections import Counter

from ft_assets.curation.language import detect
from ft_assets.recipe_data import Curation

_NOT_AN_ANSWER = re.compile(
    r"(?:todo|fixme|xxx|tbd|tba|wip)\b.{0,80}"
    r"|(?:n/?a|none|null|nan|undocumented|obsolete|not implemented|placeholder|self[- ]explanatory)[.!]?"
    r"|(?:deprecated|lorem ipsum)(?:[.,:;!]? .{0,80})?[.!]?"
    r"|see (?:also )?(?::\w+:`|`|https?://|help\(|[\w.]+\(\)|\w+\.\w+|the (?:docs?|docstring|documentation)\b).*"
    r"|(?:>>>|\.\.\.) .*",
    re.IGNORECASE,
)
# Words that end no sentence. Prepositions are left out: people log in, and know what they look for.
_UNFINISHED = re.compile(
    r".*(?:[,(\[{]|\b(?:a|an|the|and|or|of|its|their|which|while|into|than|if|as))", re.IGNORECASE
)

_MODEL = (
    r"(?:an?|your) (?:\w+ )?"
    r"(?:(?:ai|a\.i\.|artificial intelligence)(?: (?:language )?(?:model|assistant|system|chat ?bot))?"
    r"|(?:large )?language model|llm|chat ?bot|(?:virtual|digital) assistant)"
)
_SORRY = (
    r"(?:i(?:'| a)m (?:very |so |really |truly )?(?:sorry|afraid)|sorry|my apologies|i apologi[sz]e|unfortunately)"
    r"[,.!:;]* (?:but |that )?"
)
_NOT_ABLE = (
    r"(?:can(?:not|'t| not)|could ?n[o']t|won't(?: be able to)?|will not(?: be able to)?|must"
    r"|(?:am|'m) (?:not able|unable|not allowed|not permitted) to|am not programmed to)\b"
)
_ASKED = (
    r"(?:help(?! but)|assist|answer|do|provide|fulfil+|comply|discuss|engage|create|generate|write|share|give|offer|"
    r"support|respond|continue|complete|process|produce|participate|carry|satisfy|talk|decline|refuse)\b"
)
# The whole answer is at stake, so a refusal must open it: "I can't believe how good it is" does not.
_REFUSAL = re.compile(
    rf"as {_MODEL},? i ?{_NOT_ABLE}"
    rf"|(?:{_SORRY})?(?:as {_MODEL},? )?i ?{_NOT_ABLE} {_ASKED}"
    rf"|(?:{_SORRY})?i do(?:n't| not) feel comfortable"
    rf"|{_SORRY}(?:that|this|your) (?:request|question|topic)"
    rf"|(?:{_SORRY})?(?:it|that) (?:would be|is) (?:inappropriate|unethical) (?:for me )?to "
    r"|this (?:content|request) (?:violates|may violate|goes against)",
    re.IGNORECASE,
)
_REFUSAL_CHARS = 400
"""A longer answer that opens with an excuse goes on to say something."""

_FILLER = re.compile(
    rf"(?:(?:as|i(?:'| a)m (?:just |only )?) ?{_MODEL}(?:[.!,]| i\b| and\b)[^.!?\n]*[.!?]?"
    r"|i hope (?:this|that|it) helps[^.!?\n]*[.!?]?"
    r"|(?:please )?(?:feel free to|don't hesitate to|do not hesitate to) (?:ask|contact|reach)[^.!?\n]*[.!?]?"
    r"|let me know if you(?: have|'d like| would like| need)[^.!?\n]*[.!?]?"
    r"|great question[.!]*"
    r"|(?:sure|certainly|of course|absolutely|great|okay|ok|yes)(?: thing)?[!.,:]*(?!\w)"
    r"|here(?:'s| is| are)\b[^.!?:\n]{0,80}:\s*$|here you go[.!:]*"
    r"|i(?:'d| would) be happy to (?:help|assist)[^.!?\n]*[.!?]?"
    r"|you(?:'| a)re welcome[.!]*"
    r"|(?:thank you|thanks)(?: (?:so|very) much| a lot)?(?: for (?:your|the|asking)[^.!?\n]*)?[.!]+"
    r"|no problem[.!]*"
    r"|(?:how can|how may) i (?:help|assist)[^.!?\n]*[.!?]?"
    r"|is there anything else[^.!?\n]*[.!?]?)",
    re.IGNORECASE,
)
_GREETING = re.compile(
    r"(?:sure|certainly|of course|absolutely|great|okay|ok|yes)(?: thing)?[!.,:]*", re.IGNORECASE
)

_REPEATED_WORDS = 5
_FEWEST_WORDS = 20
"""Shorter answers repeat themselves by chance."""


def junk(answer: str, settings: Curation) -> str | None:
    """Placeholders, bare references and doctest prompts, which answer nothing; one line only."""
    return f"{answer!r}" if _NOT_AN_ANSWER.fullmatch(answer) else None


def refusal(answer: str, settings: Curation) -> str | None:
    """The answer opens by declining, and is short enough to do nothing else."""
    refused = settings.reject_refusals and len(answer) <= _REFUSAL_CHARS and _REFUSAL.match(_straight(answer))
    return f"{answer[:80]!r}" if refused else None


def boilerplate(answer: str, settings: Curation) -> str | None:
    """Nothing but phrases that fit every question. A bare "Yes." is an answer."""
    left, phrases = _straight(answer).strip(), 0
    while left and (phrase := _FILLER.match(left)) and phrase.end():
        phrases += 1
        left = left[phrase.end() :].lstrip()
    only_yes = phrases == 1 and _GREETING.fullmatch(_straight(answer).strip())
    return f"{answer[:80]!r}" if phrases and not left and not only_yes else None


def too_short(answer: str, settings: Curation) -> str | None:
    """Fewer characters than `min_answer_chars`."""
    limit = settings.min_answer_chars
    return f"{len(answer)} characters, at least {limit} wanted" if len(answer) < limit else None


def too_long(answer: str, settings: Curation) -> str | None:
    """More characters than `max_answer_chars`."""
    return over(len(answer), settings.max_answer_chars)


def unfinished(answer: str, settings: Curation) -> str | None:
    """Ends where no sentence can end, as a truncated or wrapped one does; one line only."""
    if " " not in answer or not _UNFINISHED.fullmatch(answer):
        return None
    return f"ends with `{answer.split()[-1]}`"


def repetitive(answer: str, settings: Curation) -> str | None:
    """A larger share of the words than `max_repetition` lies in word 5-grams that the answer holds again."""
    words = answer.casefold().split()
    if len(words) < _FEWEST_WORDS:
        return None
    grams = list(zip(*(words[start:] for start in range(_REPEATED_WORDS)), strict=False))
    if len(set(grams)) == len(grams):
        return None
    counts = Counter(grams)
    covered = {
        start + step
        for start, gram in enumerate(grams)
        if counts[gram] > 1
        for step in range(_REPEATED_WORDS)
    }
    share = len(covered) / len(words)
    return f"{share:.0%} of the words are in repeated phrases" if share > settings.max_repetition else None


def not_in_format(answer: str, settings: Curation) -> str | None:
    """House style is learnt from the data, so rows that break it are not shown."""
    wanted = settings.answer_format
    fits = wanted is None or re.fullmatch(wanted, answer, re.DOTALL)
    return None if fits else f"{answer[:80]!r} is not {wanted}"


def wrong_language(answer: str, settings: Curation) -> str | None:
    """In a language that `languages` does not name; what is too short or too much like code to tell is kept."""
    if settings.languages is None:
        return None
    (language,) = detect([answer])
    return f"the answer is in `{language}`" if language and language not in settings.languages else None


def over(count: int, limit: int) -> str | None:
    """Words for a length beyond its limit."""
    return f"{count} characters, at most {limit} wanted" if count > limit else None


def _straight(text: str) -> str:
    return text.replace("\u2019", "'")
