"""Is a mean above zero? Asked by flipping the signs of whole clusters."""

from functools import lru_cache
from math import ceil, log2

import numpy as np

_LEAST_BITS = 12  # 4,096 sign patterns: the least p value is 0.00024, which Holm's correction needs


def sign_flip(sums: np.ndarray, resamples: int, seed: int = 0) -> tuple[float, float]:
    """One-sided p values: of a mean above zero, and of a mean below it.

    Were the arms alike, each cluster's sum would as likely have the opposite sign (Fisher's randomisation test).
    Up to 12 clusters every pattern of signs is tried. Beyond, the patterns are a random subgroup of all patterns,
    which holds the observed one: then the p value is exact for these very patterns, where independent draws with
    the usual +1 are exact only on average over seeds (Koning and Hemerik, Biometrika 2024, arXiv 2202.00967).

    Args:
        sums: of each cluster, less what the claim says it is; finite, of shape (clusters,).
        resamples: sign patterns, rounded up to a power of two, 4,096 at least.
        seed: chooses the subgroup.
    """
    bits = min(len(sums), max(_LEAST_BITS, ceil(log2(resamples))))
    totals = _walsh_hadamard(np.bincount(_flippers(len(sums), bits, seed), sums, 1 << bits))
    slack = 1e-12 * np.abs(sums).sum()  # equal sums differ by rounding
    return float((totals >= totals[0] - slack).mean()), float((totals <= totals[0] + slack).mean())


@lru_cache(maxsize=128)
def _flippers(count: int, bits: int, seed: int) -> np.ndarray:
    """Which of `bits` generators of the subgroup flip each cluster, as a bit mask; int64 of shape (count,).

    Clusters differ in it while there are masks enough, so that no two are always flipped together.
    """
    basis = 1 << np.arange(bits)
    if count == bits:
        return basis
    others = np.setdiff1d(np.arange(1, 1 << bits), basis)
    random = np.random.default_rng(seed)
    drawn = random.choice(others, size=count - bits, replace=count - bits > len(others))
    return np.concatenate([basis, drawn])


def _walsh_hadamard(values: np.ndarray) -> np.ndarray:
    """Sum over m of values[m] * (-1)**(bits that g and m share), for every pattern g; the first flips nothing."""
    width = 1
    while width < len(values):
        pairs = values.reshape(-1, 2, width)
        values = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
        width *= 2
    return values
