"""Which rows that judge a model, the model or its ancestors have seen in training."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.curation.near_duplicates import near_duplicates
from ft_assets.sources.example import EXAMPLE_SCHEMA
from ft_assets.splitting.copies import Gram, common_phrases, embedded_questions, repeated_answers, same
from ft_assets.splitting.passages import Passage, read_passages
from ft_assets.storage.candidates import Candidate, get_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of
from ft_assets.storage.releases import find_release

Kind = Literal["exact", "near", "ngram", "answer"]

_COMMON_SHARE = 0.03


@dataclass(frozen=True)
class Match:
    """An eval row and a trained row that are copies.

    `kind`, the strongest that holds: `exact` (same id, text, or question), `near` (Jaccard similarity of word
    3-grams), `ngram` (the question is embedded in the trained text), `answer` (a long answer was trained on).
    `similarity` is from 0 to 1, in the measure of the kind.
    """

    eval_id: str
    trained_id: str
    kind: Kind
    similarity: float
    trained_source: str
    trained_batch: str | None


def search(eval_rows: pa.Table, trained: pa.Table, jaccard: float) -> list[Match]:
    """Every pair of an eval row and a trained row that are copies, the most similar first.

    A phrase found in over 3 % of the eval clusters (and in at least two) is boilerplate, such as a fixed
    instruction, and is no evidence of embedding. Only eval rows are counted: a leaked question repeated in
    a thousand trained rows is still found.

    Args:
        eval_rows, trained: at least the columns of `EXAMPLE_SCHEMA`; a `cluster` column of `eval_rows` is used.
        jaccard: similarity of word 3-grams, 0 to 1, from which two texts are near-copies.
    """
    if not (eval_rows.num_rows and trained.num_rows):
        return []
    left, right = read_passages(eval_rows), read_passages(trained)
    best: dict[tuple[int, int], tuple[Kind, float]] = {}
    for kind, i, j, similarity in _found(left, right, jaccard, _boilerplate(eval_rows, left)):
        best.setdefault((i, j), (kind, similarity))
    sources, batches = trained["source"].to_pylist(), trained["batch"].to_pylist()
    matches = [
        Match(left[i].id, right[j].id, kind, similarity, sources[j], batches[j])
        for (i, j), (kind, similarity) in best.items()
    ]
    return sorted(matches, key=lambda match: (-match.similarity, match.eval_id, match.trained_id))


def trained_rows(home: Home, candidate: Candidate) -> pa.Table:
    """Every row that a candidate, its incumbent, the incumbent's incumbent … trained on or stopped by.

    Returns:
        Columns of `EXAMPLE_SCHEMA` and `trained_by` (a candidate key). A row that several trained on is
        named once, with the youngest.

    Raises:
        Refused: a split of one of them was never materialized, or was changed.
    """
    tables = [
        _split_rows(home, ancestor, split)
        for ancestor in _lineage(home, candidate)
        for split in ("train_split", "validation_split")
    ]
    rows = pa.concat_tables(tables)
    return rows.take(_first_of_each(rows["id"].to_pylist()))


def _found(
    left: Sequence[Passage], right: Sequence[Passage], jaccard: float, common: set[Gram]
) -> Iterator[tuple[Kind, int, int, float]]:
    for part in (lambda row: row.text, lambda row: row.question, lambda row: row.id):
        for i, j in same(left, right, part):
            yield "exact", i, j, 1.0
    for i, j, similarity in near_duplicates([row.text for row in left], jaccard, [row.text for row in right]):
        yield "near", i, j, similarity
    for i, j, similarity in embedded_questions(left, right, common):
        yield "ngram", i, j, similarity
    for i, j, similarity in repeated_answers(left, right, common):
        yield "answer", i, j, similarity


def _boilerplate(eval_rows: pa.Table, passages: Sequence[Passage]) -> set[Gram]:
    clusters = eval_rows["cluster" if "cluster" in eval_rows.column_names else "id"].to_pylist()
    groups: defaultdict[str, list[Passage]] = defaultdict(list)
    for cluster, passage in zip(clusters, passages, strict=True):
        groups[cluster].append(passage)
    return common_phrases(groups.values(), max(1, _COMMON_SHARE * len(groups)))


def _lineage(home: Home, candidate: Candidate) -> Iterator[Candidate]:
    """The candidate, its incumbent, and so on back to the first that was trained."""
    seen = {(candidate.model, candidate.key)}
    yield candidate
    while candidate.incumbent is not None:
        release = find_release(home, candidate.incumbent)
        candidate = get_candidate(home, release.model, release.candidate)
        if (candidate.model, candidate.key) in seen:
            return
        seen.add((candidate.model, candidate.key))
        yield candidate


def _split_rows(home: Home, candidate: Candidate, split: str) -> pa.Table:
    _, folder = artifact_of(home, candidate.model, split, candidate.key)
    rows = pq.read_table(folder / "rows.parquet").select(EXAMPLE_SCHEMA.names).cast(EXAMPLE_SCHEMA)
    return rows.append_column("trained_by", pa.array([candidate.key] * rows.num_rows, pa.string()))


def _first_of_each(values: Sequence[str]) -> list[int]:
    first: dict[str, int] = {}
    for position, value in enumerate(values):
        first.setdefault(value, position)
    return list(first.values())
