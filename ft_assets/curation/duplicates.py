"""Copies of a row that stays: exact, near, or of the same meaning.

Prompt and answer are separate questions: a house answer that is given to many prompts is no duplicate, and neither is
another answer to a known prompt. A row is a duplicate when both are copies.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ft_assets.curation.hashes import Hashes
from ft_assets.curation.near_duplicates import Ints, Pairs, overlaps, similar_pairs
from ft_assets.curation.signatures import PART, PROMPT
from ft_assets.recipe_data import Curation

Reason = Literal["exact_duplicate", "near_duplicate", "semantic_duplicate"]

_BLOCK = 2_048


@dataclass(frozen=True)
class Copy:
    """A row that another makes superfluous. `of` is the id of the row that stays."""

    reason: Reason
    of: str
    similarity: float

    @property
    def detail(self) -> str:
        """What the rejected row says of itself."""
        return f"of {self.of}, similarity {self.similarity:.3f}"


def find_copies(rows: pa.Table, earlier: Iterable[pa.Table], settings: Curation) -> dict[int, Copy]:
    """Which rows of a batch to drop: index in `rows` to the row that stays in its place.

    Rows of earlier batches stay. Within the batch a correction comes before any other row, then the earlier before
    the later. A row is compared with rows that stay, never with dropped ones, so a chain of small changes is not
    swallowed whole; and every row dropped has a row like it that stays.

    Args:
        rows: `SIGNATURE_SCHEMA`.
        earlier: `SIGNATURE_SCHEMA`, one table a batch, looked at one at a time.
    """
    ids, kinds = rows["id"].to_pylist(), rows["kind"].to_pylist()
    order = sorted(range(len(ids)), key=lambda index: kinds[index] != "correction")
    first: dict[str, int] = {}
    for index in order:
        first.setdefault(ids[index], index)
    found: dict[str, Copy] = {}
    unique = rows.take(pa.array(first.values(), pa.int64()))
    for table in earlier:
        for copy_id, copy in _copies_of(unique, table, settings):
            found.setdefault(copy_id, copy)
    for copy_id, of, copy in _copies_within(unique, settings):
        if of not in found:
            found.setdefault(copy_id, copy)
    copies = {index: found[id] for index, id in enumerate(ids) if id in found}
    for index, id in enumerate(ids):
        if first[id] != index and index not in copies:
            copies[index] = Copy("exact_duplicate", id, 1.0)
    return copies


def _copies_of(rows: pa.Table, known: pa.Table, settings: Curation) -> Iterator[tuple[str, Copy]]:
    """Rows that are copies of known ones, the strongest reason first."""
    ids, others = rows["id"].to_pylist(), known["id"].to_pylist()
    for id in set(ids).intersection(others):
        yield id, Copy("exact_duplicate", id, 1.0)
    for reason, pairs in _similar(rows, known, settings):
        for i, j, similarity in pairs:
            yield ids[i], Copy(reason, others[j], similarity)


def _copies_within(rows: pa.Table, settings: Curation) -> Iterator[tuple[str, str, Copy]]:
    """(row, row before it, copy), the first rows first: whether the one before it stays is then known."""
    ids = rows["id"].to_pylist()
    found = [
        (j, i, Copy(reason, ids[i], similarity))
        for reason, pairs in _similar(rows, None, settings)
        for i, j, similarity in pairs
    ]
    found.sort(key=lambda pair: pair[:2])
    return ((ids[j], ids[i], copy) for j, i, copy in found)


def _similar(rows: pa.Table, known: pa.Table | None, settings: Curation) -> Iterator[tuple[Reason, Pairs]]:
    left = Hashes.from_arrow(rows["grams"])
    right = None if known is None else Hashes.from_arrow(known["grams"])
    yield "near_duplicate", _near(left, right, settings.near_duplicate_jaccard)
    if settings.semantic_similarity is not None:
        yield "semantic_duplicate", _same_meaning(rows, known, settings.semantic_similarity)


def _near(left: Hashes, right: Hashes | None, threshold: float) -> Pairs:
    """Pairs that are near-copies in both parts; a pair like that is one in the whole, which is looked for first."""
    pairs = similar_pairs(left, right, threshold)
    both = left if right is None else Hashes.join([left, right])
    second = pairs.right + (0 if right is None else left.rows)
    of_prompt = (both.values & PART) == PROMPT
    similarity = [_jaccard(both.take(part), pairs.left, second) for part in (of_prompt, ~of_prompt)]
    good = np.minimum(*similarity) >= threshold
    return Pairs(pairs.left[good], pairs.right[good], pairs.similarity[good])


def _jaccard(sets: Hashes, first: Ints, second: Ints) -> npt.NDArray[np.float64]:
    shared = overlaps(sets, first, second)
    union = sets.lengths[first] + sets.lengths[second] - shared
    return np.where(union > 0, shared / np.maximum(union, 1), 1.0)


def _same_meaning(rows: pa.Table, known: pa.Table | None, threshold: float) -> Pairs:
    """Pairs whose prompts and whose answers are each this similar (cosine). Compares all with all, in blocks."""
    left = _embeddings(rows)
    right = left if known is None else _embeddings(known)
    parts = []
    for begin in range(0, len(left), _BLOCK):
        block = left[begin : begin + _BLOCK]
        cosines = np.minimum(*(block[:, part] @ right[:, part].T for part in (0, 1)))
        i, j = np.nonzero(cosines >= threshold)
        keep = j > i + begin if known is None else slice(None)
        parts.append((i[keep] + begin, j[keep], cosines[i, j][keep].astype(np.float64)))
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True))) if parts else _NONE


_NONE = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))


def _embeddings(table: pa.Table) -> npt.NDArray[np.float32]:
    """[rows, 2, dimensions]; a row that was signed without an embedding is like no other."""
    column: Sequence[list[float] | None] = table["embedding"].to_pylist()
    width = max((len(row) for row in column if row), default=2)
    return np.array([row or [0.0] * width for row in column], np.float32).reshape(len(column), 2, width // 2)
