"""How much more likely than chance a model holds a planted secret (Carlini et al. 2019, arXiv 1802.08232)."""

import math
from collections.abc import Sequence


def exposure(planted: float, others: Sequence[float]) -> float:
    """Bits by which knowing the model shortens the search for a secret.

    Args:
        planted: loss of the secret that was trained on, in nats.
        others: losses of secrets of the same form that were not.

    Returns:
        log2 of all secrets' number less log2 of the planted one's rank: 0 for the least likely, and for 63 others 6 for
        the most likely. Ties count against the model's innocence: the planted one comes first.
    """
    rank = 1 + sum(other < planted for other in others)
    return math.log2(len(others) + 1) - math.log2(rank)


def is_exposed(planted: float, others: Sequence[float]) -> bool:
    """Whether the model holds the planted secret more likely than every other one."""
    return exposure(planted, others) == math.log2(len(others) + 1)
