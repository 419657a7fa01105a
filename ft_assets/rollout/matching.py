"""Which answers of the two arms are compared with which: only such as were given at about the same time.

Mirrored requests come in pairs, and each pair is a match. Other answers, in their order, are cut into blocks,
each the shortest that holds `SIZE` of both arms; a block's answers are dealt out to `SIZE` matches, each the mean
of some answers of one arm against the mean of some of the other. So traffic that changes while the weight ramps
up does not pass for a difference between the arms (Simpson's paradox), and hardly an answer is wasted.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SIZE = 4
_LEFT_OVER = -1


@dataclass(frozen=True)
class Matching:
    """How `answers` answers are matched.

    Attributes:
        match: number of each answer's match, or -1 while its block is open; int of shape (answers,).
        starts: index of the first answer of each match's block: what came before it was known when it began.
        ends: index of the last answer of each match's block; both int of shape (matches,).
    """

    challenger: np.ndarray
    match: np.ndarray
    starts: np.ndarray
    ends: np.ndarray

    def means(self, values: np.ndarray) -> np.ndarray:
        """Mean of the challenger's and of the control's values in each match, float of shape (matches, 2)."""
        sides = [(self.match != _LEFT_OVER) & (self.challenger == side) for side in (True, False)]
        count = len(self.ends)
        sums = [np.bincount(self.match[side], values[side], count) for side in sides]
        sizes = [np.bincount(self.match[side], minlength=count) for side in sides]
        return np.column_stack([total / size for total, size in zip(sums, sizes, strict=True)])


def matching(challenger: np.ndarray, pairs: int = 0) -> Matching:
    """Match answers of two arms.

    Args:
        challenger: of each answer in order, whether the challenger gave it; bool of shape (answers,). The first
            2 x `pairs` of them are pairs: the challenger's answer, then the control's.
    """
    return _matching(np.asarray(challenger, dtype=bool).tobytes(), pairs)


@lru_cache(maxsize=16)  # most signals are about the same answers
def _matching(arms: bytes, pairs: int) -> Matching:
    challenger = np.frombuffer(arms, dtype=bool)
    blocks = np.array(
        [*((2 * pair, 2 * pair + 2) for pair in range(pairs)), *_cut(challenger, 2 * pairs)], int
    )
    starts, stops = blocks.reshape(-1, 2).T
    sizes = np.where(np.arange(len(starts)) < pairs, 1, SIZE)
    match = np.full(len(challenger), _LEFT_OVER)
    block = np.repeat(np.arange(len(starts)), stops - starts)  # of each answer in a finished block
    for side in (True, False):
        mine = challenger[: len(block)] == side
        order = np.cumsum(mine) - 1  # the how manieth of its arm each is
        within = order - (np.cumsum(mine) - mine)[starts][block]
        match[: len(block)][mine] = ((np.cumsum(sizes) - sizes)[block] + within % sizes[block])[mine]
    return Matching(challenger, match, np.repeat(starts, sizes), np.repeat(stops - 1, sizes))


def _cut(challenger: np.ndarray, start: int) -> list[tuple[int, int]]:
    """(start, stop) of each finished block from `start` on."""
    seen, blocks = [0, 0], []
    for place, arm in enumerate(challenger[start:].tolist(), start=start):
        seen[arm] += 1
        if min(seen) >= SIZE:
            blocks.append((start, place + 1))
            start, seen = place + 1, [0, 0]
    return blocks
