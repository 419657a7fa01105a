"""Which rows are judged together as a slice."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np


def slice_parts(slices: Sequence[str], applies: np.ndarray, least: int) -> Iterator[tuple[str, np.ndarray]]:
    """Name and rows of every part that a slice rule is asked of; none where one part would be all rows.

    Slices with fewer than `least` rows are one part. Where that is still too small, the next larger slices join it,
    so that no row is without a rule and no rule is without rows.

    Args:
        slices: of each row.
        applies: bool of shape (rows,), which rows the metric applies to.
        least: rows.

    Yields:
        The part's name, and bool of shape (rows,).
    """
    names = np.asarray(slices, dtype=object)
    counts = Counter(names[applies].tolist())
    by_size = sorted(counts, key=lambda name: (counts[name], name))
    joined: list[str] = []
    for name in by_size:
        if counts[name] < least or (joined and sum(counts[each] for each in joined) < least):
            joined.append(name)
    alone = [name for name in sorted(counts) if name not in joined]
    groups = [(f"slice {name}", [name]) for name in alone]
    if joined:
        groups.append((f"the small slices together ({', '.join(sorted(joined))})", joined))
    if len(groups) > 1:
        for title, members in groups:
            yield title, applies & np.isin(names, members)
