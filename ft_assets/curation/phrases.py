"""Answers made of set phrases: those that only refuse, and those that only fill.

Whole sentences are matched, and every sentence of an answer must be such a phrase: one that says no and then helps,
or thanks and then answers, is an answer. The phrases are English; other languages' refusals are not found.
"""

import re
from collections.abc import Iterator

from ft_assets.recipe_data import Curation

_LONGEST = 1_000
"""Characters from which an answer says more than phrases do."""
_SENTENCE = re.compile("[^.!?\u2026\n]+[.!?\u2026]*")

_AI = (
    r"an? (?:(?:ai|artificial intelligence)(?: (?:language )?(?:model|assistant|system|program|chat ?bot))?"
    r"|(?:large )?language model|llm|chat ?bot|(?:virtual|digital) assistant)"
)
_AS_AI = rf"as {_AI}(?: (?:trained|developed|created|made) by [^,.]{{1,40}})?,? "
_SORRY = (
    r"(?:(?:(?:i|we)(?:'m| am|'re| are) (?:(?:so|very|really|truly) )?(?:sorry|afraid)|sorry|(?:my )?apologies"
    r"|i apologi[sz]e(?: for [^,.]{1,60})?|unfortunately|no)[,.;:]* (?:but |that )?)?"
)
_REST = r"(?:(?!\b(?:but|however|though|although|yet)\b)[^,;:])"
"""A character of a sentence that says nothing else: the turn to something helpful begins with one of these."""
_NOT_ABLE = (
    rf"{_SORRY}(?:{_AS_AI})?(?:i|we)(?: (?:simply|just|really))? ?(?:can't|cannot|can not|could not|couldn't"
    r"|(?:won't|will not)(?: be able to)?|(?:am|are|'m|'re) (?:not (?:able|allowed|permitted|going|programmed)"
    r"|unable) to)"
)
_DO = (
    r"(?:answer|discuss|address|engage (?:with|in)|respond to|comply with|fulfil+|process|complete|continue|provide"
    r"|give|offer|share|generate|create|write|produce|do|support|participate in|satisfy|recommend)"
    r"(?: you)?(?: with)?"
)
_WANTED = (
    r"(?:requests?|questions?|topics?|information|content|instructions?|material|subjects?|quer(?:y|ies)"
    r"|(?:medical|legal|financial|investment|tax)[\w ,/]* (?:advice|opinions?|guidance|diagnos[ie]s))"
)

_REFUSES = re.compile(
    rf"(?:{_NOT_ABLE} (?:help|assist|support)(?: you)?(?: out)?(?: (?:with|in|on) {_REST}{{1,150}})?"
    rf"|{_NOT_ABLE} {_DO} (?:that|this|it)(?: for you)?"
    rf"|{_NOT_ABLE} {_DO} (?:[\w'-]+ ){{0,3}}{_WANTED}(?: (?:of|about|on|for|that|like|regarding) {_REST}{{1,100}})?"
    rf"|{_SORRY}(?:i|we) (?:must|have to) (?:respectfully )?(?:decline|refuse)(?: {_REST}{{1,80}})?"
    rf"|{_SORRY}i (?:do not|don't) feel comfortable (?:answering|discussing|providing|sharing|writing|helping|creating"
    rf"|generating|continuing)(?: {_REST}{{1,100}})?"
    r"|(?:it|this|that|(?:this|that|your|the) (?:content|request|question))"
    r" (?:violates|may violate|goes against|is against) (?:my|our|the) (?:[\w-]+ ){0,3}"
    r"(?:guidelines|polic(?:y|ies)|programming|principles|terms)"
    rf"|{_SORRY}(?:it|that|this) (?:would be|is) (?:inappropriate|unethical|wrong) for me to {_REST}{{1,120}}"
    rf"|{_SORRY}(?:{_AS_AI}i|i(?:'m| am) (?:just |only )?{_AI},?(?: and| so)?(?: i)?) ?"
    rf"(?:do not|don't|cannot|can't|am not|'m not|am unable|have no|lack)\b (?:{_REST}|,){{1,200}}"
    r")[.!\u2026]*",
    re.IGNORECASE,
)

_COURTESY = re.compile(
    r"(?:(?:but )?is there (?:anything|something) (?:else|other)[^:]{0,100}"
    r"|(?:but |please )*(?:feel free|(?:don't|do not) hesitate) to (?:ask|contact|reach)[^:]{0,100}"
    r"|(?:but |please )*let me know if (?:you(?:'d| would|'re| are| have| need)|there is|there's)[^:]{0,100}"
    r"|(?:but |please )*if you (?:have|need|would like|'d like)[^:,]{0,60}, (?:please )?"
    r"(?:feel free|let me know|just ask|(?:don't|do not) hesitate)[^:]{0,60}"
    r"|(?:but )?(?:i|we)(?:'d| would|'ll| will|'m| am|'re| are)(?: be)? (?:happy|glad|here) to (?:help|assist)(?: you)?"
    r"(?: with (?:that|this|it|any(?:thing| other)[^:,]{0,40})| further| out| today)?"
    r"|(?:how|what)(?: else)? (?:can|may) i (?:help|assist|do)(?: you)?[^:,]{0,40}"
    r"|i hope (?:this|that|it) (?:helps|helped|clarifies|answers)[^:]{0,60}"
    r"|(?:that(?:'s| is| was) )?(?:a )?(?:great|good|excellent) question"
    r"|you(?:'re| are) (?:very |most )?welcome"
    r"|(?:thank you|thanks)(?: (?:so|very) much| a lot)?(?: for (?:asking|reaching out|contacting us|(?:your|the) "
    r"(?:question|message|interest|patience|understanding|feedback)))?"
    r"|no problem)[.!?\u2026]*",
    re.IGNORECASE,
)
_OPENING = r"(?:sure|certainly|of course|absolutely|great|okay|ok|yes)(?: thing)?"
_HERE = rf"(?:{_OPENING}[,!]? )?here"
_ANNOUNCES = re.compile(
    rf"(?:{_HERE}(?:'s| is| are)\b[^:.!?]{{0,80}}(?::|\.\.\.|\u2026)|{_HERE} you go[.!:]*"
    rf"|(?:{_AS_AI}i|i(?:'m| am) (?:just |only )?{_AI})(?:(?:,| and|'m| am| can) {_REST}{{0,200}})?[.!]*)",
    re.IGNORECASE,
)
_OPENS = re.compile(rf"{_OPENING}[.!,]*", re.IGNORECASE)


def refusal(answer: str, settings: Curation) -> str | None:
    """An answer that declines and is polite about it, and does nothing else."""
    refused = False
    for sentence in _sentences(answer) if settings.reject_refusals else []:
        if _REFUSES.fullmatch(sentence):
            refused = True
        elif not _COURTESY.fullmatch(sentence):
            return None
    return f"{answer[:80]!r}" if refused else None


def boilerplate(answer: str, settings: Curation) -> str | None:
    """An answer of phrases that fit every question, or that announce what never comes. A bare "Yes." is an answer."""
    filled = False
    for sentence in _sentences(answer):
        if _COURTESY.fullmatch(sentence) or _ANNOUNCES.fullmatch(sentence):
            filled = True
        elif not _OPENS.fullmatch(sentence):
            return None
    return f"{answer[:80]!r}" if filled else None


def _sentences(answer: str) -> Iterator[str]:
    """Sentences one after the other, as most answers are told from a phrase by their first."""
    if len(answer) <= _LONGEST:
        for match in _SENTENCE.finditer(answer.replace("\u2019", "'")):
            if sentence := match[0].strip():
                yield sentence
