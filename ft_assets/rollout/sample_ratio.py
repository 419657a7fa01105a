"""Does traffic split as planned? If not, something routes or records wrongly, and no comparison is fair."""

import math


def log_evidence(challengers: int, total: int, lowest: float, highest: float) -> float:
    """Log of the evidence that the challenger's share of users is outside [lowest, highest].

    A Bayes factor of a uniform prior on the share against the planned share nearest to what was seen. It
    exceeds log(1/p) with probability p at most, however often one looks (Lindon and Malek, "Anytime-valid
    inference for multinomial count data", arXiv 2011.03567).

    Args:
        challengers: users whom the challenger answered.
        total: users of both arms.
        lowest: least planned share, above 0.
        highest: greatest planned share, below 1.
    """
    if total == 0:
        return 0.0
    controls = total - challengers
    planned = min(max(challengers / total, lowest), highest)
    mixture = math.lgamma(challengers + 1) + math.lgamma(controls + 1) - math.lgamma(total + 2)
    return mixture - challengers * math.log(planned) - controls * math.log1p(-planned)
