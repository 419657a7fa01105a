"""How much likelier a model finds the better answer than the worse one, and whether that rose."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING

from ft_assets.training.preferences import Ids, Pair

if TYPE_CHECKING:
    import torch

_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rise:
    """Mean rise of the margin, and its 95 % interval; `rose` is the share of rows whose margin is larger."""

    mean: float
    low: float
    high: float
    rose: float


def margins(model: "torch.nn.Module", pairs: Sequence[Pair], per_token: bool) -> list[float]:
    """Of each pair, log-probability of the better answer less that of the worse one, in nats.

    The rise of it from one model to another is DPO's reward margin divided by beta.

    Args:
        per_token: compare means over an answer's tokens, not sums: what ORPO learns.
    """
    model.eval()

    def score(prompt: Ids, answer: Ids) -> float:
        return _log_probability(model, prompt, answer) / (len(answer) if per_token else 1)

    return [score(pair.prompt, pair.chosen) - score(pair.prompt, pair.rejected) for pair in pairs]


def accuracy(found: Sequence[float]) -> float:
    """Share of pairs whose better answer is the likelier one."""
    return fmean(margin > 0 for margin in found)


def rise(before: Sequence[float], after: Sequence[float], clusters: Sequence[str]) -> Rise | None:
    """The rise of each row's margin, paired; None where fewer than two clusters can say nothing about it.

    The interval is a t interval whose variance is that of whole clusters, as near-copies are no independent evidence
    (arXiv 2411.00640).
    """
    risen = [b - a for a, b in zip(before, after, strict=True)]
    count = len(set(clusters))
    if count < 2:
        return None
    mean = fmean(risen)
    residuals: dict[str, float] = defaultdict(float)
    for value, cluster in zip(risen, clusters, strict=True):
        residuals[cluster] += value - mean
    error = sqrt(sum(r * r for r in residuals.values()) * count / (count - 1)) / len(risen)
    reach = _t_quantile((1 + _CONFIDENCE) / 2, count - 1) * error
    return Rise(mean, mean - reach, mean + reach, fmean(value > 0 for value in risen))


def _log_probability(model: "torch.nn.Module", prompt: Ids, answer: Ids) -> float:
    # One row at a time: padding would change sums in the last digits, and this is no slower on a CPU.
    import torch
    import torch.nn.functional as F

    device = next(model.parameters()).device
    ids = torch.tensor([prompt + answer], device=device)
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=len(answer) + 1).logits[0, :-1]
    return -F.cross_entropy(logits.float(), ids[0, -len(answer) :], reduction="sum").item()


def _t_quantile(probability: float, freedom: int) -> float:
    """Student's t quantile by its expansion around the normal one (Abramowitz and Stegun, 26.7.5)."""
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))
