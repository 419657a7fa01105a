"""How much of the reference's text an answer has."""

import re
from functools import cache

from sacrebleu.metrics.chrf import CHRF


def chrf(answer: str, reference: str) -> float:
    """Character n-gram F-score of one answer, 0 to 100 (chrF2, Popović 2015, as sacrebleu computes it)."""
    return float(_chrf().sentence_score(answer, [reference]).score)


def exact(answer: str, reference: str) -> bool:
    """Whether the answer is the reference, white space aside."""
    return answer.split() == reference.split()


def rouge_l(answer: str, reference: str) -> float:
    """F1 of the longest common subsequence of words, 0 to 100 (ROUGE-L, Lin 2004), for a reference that has words."""
    from rapidfuzz.distance import LCSseq

    said, wanted = words(answer), words(reference)
    return 100 * 2 * LCSseq.similarity(said, wanted) / (len(said) + len(wanted))


def words(text: str) -> list[str]:
    """Runs of letters, digits and underscores of any script, case ignored, not stemmed."""
    return re.findall(r"\w+", text.casefold())


@cache
def _chrf() -> CHRF:
    return CHRF()
