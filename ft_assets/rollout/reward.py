"""What a piece of feedback says about an answer, as a number from 0 (bad) to 1 (good)."""

from functools import lru_cache
from typing import Any


def reward(kind: str, value: Any, answer: str) -> float | None:
    """The reward of an answer, or None for feedback that does not judge the answer.

    A thumb is 1 or 0. An edit is how much of the answer the person kept. Handing over to a human is 0. A
    comment or a demonstration is worth reading, and says nothing that can be counted.
    """
    if kind == "thumb":
        return 1.0 if value in ("up", True) else 0.0
    if kind == "edit":
        return similarity(answer, str(value))
    return 0.0 if kind == "escalation" else None


@lru_cache(maxsize=10_000)
def similarity(answer: str, edited: str) -> float:
    """Character n-gram F-score (chrF, Popović 2015) of an answer against its edited form, from 0 to 1."""
    if answer == edited:
        return 1.0
    from sacrebleu.metrics.chrf import CHRF

    return CHRF().sentence_score(answer, [edited]).score / 100
