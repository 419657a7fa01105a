"""Do answers fail too often now? Reacts to a sudden break within a few answers, however long all went well.

A change detector: for several failure rates above the allowed one it keeps the likelihood ratio since the
most damning start (CUSUM), and averages them. Where answers fail at the allowed rate or less, it takes
`_RUN_LENGTH` answers or more on average until a false alarm (Shin, Ramdas and Rinaldo, "E-detectors",
arXiv 2203.03532).
"""

import math
from collections.abc import Iterable

_RUN_LENGTH = 10_000
_EXCESSES = (0.1, 0.3, 0.9)
"""Alternatives: this share of the way from the allowed rate to always failing."""


def fails_too_often(failed: Iterable[bool], allowed: float) -> bool:
    """Whether the latest answers fail at more than the allowed rate.

    Args:
        failed: of each answer, oldest first.
        allowed: share of answers that may fail; 0 means none, 1 means never an alarm.
    """
    answers = list(failed)
    if allowed in (0.0, 1.0):
        return allowed == 0.0 and any(answers)
    evidence = [0.0] * len(_EXCESSES)
    rates = [allowed + excess * (1 - allowed) for excess in _EXCESSES]
    for answer in answers:
        for index, rate in enumerate(rates):
            ratio = rate / allowed if answer else (1 - rate) / (1 - allowed)
            evidence[index] = max(evidence[index], 0.0) + math.log(ratio)
    average = sum(math.exp(min(value, 700.0)) for value in evidence) / len(evidence)
    return average >= _RUN_LENGTH
