"""Copies and near-copies of a row that stays: the earliest of them does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ft_assets.curation.near_duplicates import near_duplicates
from ft_assets.sources.example import Example


@dataclass(frozen=True)
class Copy:
    """A row that another makes superfluous. `of` is the id of the row that stays."""

    reason: Literal["exact_duplicate", "near_duplicate"]
    of: str
    similarity: float

    @property
    def detail(self) -> str:
        """What the rejected row says of itself."""
        return f"of {self.of}, similarity {self.similarity:.3f}"


def find_copies(examples: Sequence[Example], earlier: Sequence[Example], threshold: float) -> dict[int, Copy]:
    """Which rows of a batch to drop: index in `examples` to the row that stays in its place.

    Earlier batches come before the batch, and rows of the batch in their order. A row is compared with rows
    that stay, never with dropped ones, so a chain of small changes is not swallowed whole; and every row
    dropped has a row like it that stays. A correction of a known prompt is judged like any row, by its whole
    text: it is dropped only if prompt and answer together are a near-copy.

    Args:
        threshold: Jaccard similarity of word 3-grams, 0 to 1, from which rows are near-duplicates.
    """
    copies: dict[int, Copy] = {}
    known = {example.id for example in earlier}
    first: dict[str, int] = {}
    for index, example in enumerate(examples):
        if example.id in known:
            copies[index] = Copy("exact_duplicate", example.id, 1.0)
        else:
            first.setdefault(example.id, index)
    near = _near_copies([examples[index] for index in first.values()], earlier, threshold)
    for index, example in enumerate(examples):
        if example.id in near:  # copies of a near-copy too: their exact twin does not stay
            copies[index] = near[example.id]
        elif first.get(example.id, index) != index:
            copies[index] = Copy("exact_duplicate", example.id, 1.0)
    return copies


def row_text(example: Example) -> str:
    """All that a row says, as one text: what near-duplicates are judged by."""
    return "\n\n".join(f"{turn.content}\n{turn.tool_calls or ''}".strip() for turn in example.messages)


def _near_copies(unique: Sequence[Example], earlier: Sequence[Example], threshold: float) -> dict[str, Copy]:
    texts = [row_text(example) for example in unique]
    near: dict[int, Copy] = {}
    for index, other, similarity in near_duplicates(texts, threshold, [row_text(row) for row in earlier]):
        near.setdefault(index, Copy("near_duplicate", earlier[other].id, similarity))
    for before, index, similarity in sorted(near_duplicates(texts, threshold), key=lambda pair: pair[1::-1]):
        if before not in near:
            near.setdefault(index, Copy("near_duplicate", unique[before].id, similarity))
    return {unique[index].id: copy for index, copy in near.items()}
