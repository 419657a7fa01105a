"""What is measured of one answer. A missing or empty answer scores the worst; no row is ever left out."""

import re
from functools import cache

from sacrebleu.metrics.chrf import CHRF


def loss_per_token(nats: float, tokens: int) -> float:
    """Mean loss of an answer's tokens, in nats."""
    return nats / tokens


def chrf(answer: str, reference: str) -> float:
    """Character n-gram F-score of one answer, 0 to 100 (chrF2, Popović 2015, as sacrebleu computes it)."""
    return float(_chrf().sentence_score(answer, [reference]).score) if answer.strip() else 0.0


def exact(answer: str, reference: str) -> bool:
    """Whether the answer is the reference, white space aside."""
    return bool(answer.strip()) and answer.split() == reference.split()


def format_ok(answer: str, pattern: str | None) -> bool | None:
    """Whether the whole answer, its outer white space aside, matches; None when no format is asked for."""
    return None if pattern is None else re.fullmatch(pattern, answer.strip()) is not None


@cache
def _chrf() -> CHRF:
    return CHRF()
