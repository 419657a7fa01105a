"""The learning rate of every step."""

import math

from ft_assets.recipe import Training


def learning_rate(step: int, steps: int, settings: Training) -> float:
    """Linear warm-up, then half a cosine down to zero after the last step. `step` counts from 0."""
    warmup = math.ceil(settings.warmup * steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
