"""Do answers fail too often now? Reacts to a sudden break within a few answers, however long all went well.

A change detector: for several failure rates above the allowed one it keeps the likelihood ratio since every
possible start of the break, and sums them, each start weighted so that all weights sum to 1. The sum is an
e-process (a mixture of e-processes that start betting at different times), so where answers fail at the allowed
rate or less it ever raises an alarm with probability alpha at most (Shin, Ramdas and Rinaldo, "E-detectors", arXiv
2203.03532, who bound the time between false alarms instead).
"""

import math

import numpy as np

_EXCESSES = np.array([[0.1], [0.3], [0.9]])
"""Alternatives: this share of the way from the allowed rate to always failing."""


def first_alarm(failed: np.ndarray, allowed: float, alpha: float) -> int | None:
    """Index of the answer at which it is proven that answers fail at more than the allowed rate.

    Args:
        failed: of each answer, oldest first; bool of shape (answers,).
        allowed: share of answers that may fail; 0 means none, 1 means never an alarm.
        alpha: chance of ever raising a false alarm.
    """
    if allowed in (0.0, 1.0) or not len(failed):
        return int(np.argmax(failed)) if allowed == 0.0 and failed.any() else None
    rates = allowed + _EXCESSES * (1 - allowed)
    ratios = np.where(failed, np.log(rates / allowed), np.log((1 - rates) / (1 - allowed)))
    grown = np.cumsum(ratios, axis=1)
    number = np.arange(1, len(failed) + 1)
    starts = -np.log(number * (number + 1.0))  # the weights 1/(1·2), 1/(2·3), … sum to 1
    evidence = grown + np.logaddexp.accumulate(starts - (grown - ratios), axis=1)
    alarms = np.logaddexp.reduce(evidence, axis=0) >= math.log(len(rates) / alpha)
    return int(np.argmax(alarms)) if alarms.any() else None
