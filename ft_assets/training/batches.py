"""Which rows each optimizer step sees: decided before the first step, so that a step's number says it all."""

import random
from collections.abc import Sequence

from ft_assets.recipe import Training


def plan_steps(lengths: Sequence[int], settings: Training) -> list[list[int]]:
    """Row numbers of every optimizer step, of about `batch_tokens` tokens each.

    Every epoch is shuffled anew; a fractional epoch is a part of one. A last, meagre step is avoided by
    sharing all tokens evenly among the steps.

    Args:
        lengths: tokens of each row.
    """
    order = _epochs(len(lengths), settings.epochs, settings.seed)
    total = sum(lengths[row] for row in order)
    count = max(1, round(total / settings.batch_tokens))
    steps: list[list[int]] = [[] for _ in range(count)]
    before = 0
    for row in order:
        steps[before * count // total].append(row)
        before += lengths[row]
    return [step for step in steps if step][: settings.max_steps]


def pack(rows: Sequence[int], lengths: Sequence[int], most: int) -> list[list[int]]:
    """Share a step's rows among packs of at most `most` tokens, in order; a longer row is a pack of its own."""
    packs: list[list[int]] = []
    room = 0
    for row in rows:
        if lengths[row] > room or not packs:
            packs.append([])
            room = most
        packs[-1].append(row)
        room -= lengths[row]
    return packs


def _epochs(rows: int, epochs: float, seed: int) -> list[int]:
    generator = random.Random(seed)
    order: list[int] = []
    wanted = max(1, round(rows * epochs))
    while len(order) < wanted:
        epoch = list(range(rows))
        generator.shuffle(epoch)
        order += epoch
    return order[:wanted]
