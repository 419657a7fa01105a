"""Choosing the next token of each row."""

from collections.abc import Sequence

import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253


class Sampler:
    """One row's way of choosing, with its own random stream: other rows of the batch do not disturb it.

    Args:
        temperature: 0 takes the likeliest token; above 0 flattens the distribution.
        top_p: sample from the smallest set of tokens whose probabilities reach this sum (nucleus sampling,
            arXiv 1904.09751).
        seed: the same seed draws the same tokens; None draws anew each time.
    """

    def __init__(self, temperature: float = 0.0, top_p: float = 1.0, seed: int | None = None) -> None:
        self.greedy = temperature <= 0.0 or top_p <= 0.0
        self._temperature = temperature
        self._top_p = top_p
        self._random = torch.Generator()
        if seed is None:
            self._random.seed()
        else:
            self._random.manual_seed(seed % 2**63)

    def draw(self, logits: Tensor) -> int:
        """Draw from the logits (vocabulary) of one row."""
        logits = logits.double().cpu()
        # Below the highest first: a temperature near 0 would else make it infinite.
        chances = torch.softmax((logits - logits.max()) / self._temperature, 0)
        sorted_chances, ids = chances.sort(descending=True, stable=True)
        # A token belongs to the nucleus while the sum before it is below top_p; the first one always does.
        before = sorted_chances.cumsum(0) - sorted_chances
        nucleus = sorted_chances * (before < self._top_p)
        return int(ids[torch.multinomial(nucleus, 1, generator=self._random)])


def choose(logits: Tensor, samplers: Sequence[Sampler]) -> tuple[list[int], list[bool]]:
    """Next token of every row, and whether the row's logits are broken; logits are rows x vocabulary.

    Equal logits: the lowest id is taken. Broken is what has no finite maximum; nothing is drawn there, as one row
    must not end the batch of the others.
    """
    highest, likeliest = logits.max(1)
    broken = (~highest.isfinite()).tolist()
    chosen = [
        best if sampler.greedy or is_broken else sampler.draw(row)
        for best, is_broken, sampler, row in zip(likeliest.tolist(), broken, samplers, logits, strict=True)
    ]
    return chosen, broken
