"""Which rows that judge a model, the model or its ancestors have seen in training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.curation.embedding import embed
from ft_assets.curation.near_duplicates import Ints, Pairs, similar_pairs
from ft_assets.recipe import Base
from ft_assets.sources.example import EXAMPLE_SCHEMA, Example, fit, from_table, to_table
from ft_assets.sources.readers import read_source
from ft_assets.splitting.copies import common_phrases, embedded_questions, equal_rows, repeated_answers
from ft_assets.splitting.edits import edited_copies
from ft_assets.splitting.passages import Words, question_keys, read_words
from ft_assets.storage.candidates import Candidate, get_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of
from ft_assets.storage.releases import find_release

Kind = Literal["exact", "near", "edit", "ngram", "answer", "meaning"]

_COMMON = 2
"""Eval clusters that may share a phrase before it counts as boilerplate."""
_RARE = 5
"""Unlike rows, trained ones too, that may share a 3-gram before it is not rare: fewer than in the ledger."""


@dataclass(frozen=True)
class Match:
    """An eval row and a trained row that are copies.

    `kind`, the strongest that holds: `exact` (same id or question), `near` (Jaccard similarity of word 3-grams),
    `edit` (share of the words that are kept in order),
    `ngram` (the question is embedded in the trained text), `answer` (a long answer was trained on), `meaning` (cosine
    similarity of embeddings, where the recipe asks). `similarity` is from 0 to 1, in the measure of the kind.
    `trained_by` is the key of the candidate that trained on the row, or `base:NAME` for what a base declares.
    """

    eval_id: str
    trained_id: str
    kind: Kind
    similarity: float
    trained_source: str
    trained_batch: str | None
    trained_by: str | None = None


def search(
    eval_rows: pa.Table, trained: pa.Table, jaccard: float, similarity: float | None = None
) -> list[Match]:
    """Every pair of an eval row and a trained row that are copies, the most similar first.

    A phrase found in more than two eval clusters is boilerplate, such as an instruction that many rows share, and
    is no evidence of embedding. Only eval rows are counted: a leaked question repeated in a thousand trained rows
    is still found.

    Args:
        eval_rows, trained: at least the columns of `EXAMPLE_SCHEMA`; `cluster` of `eval_rows` and `trained_by` of
            `trained` are used where they are there.
        jaccard: similarity of word 3-grams, 0 to 1, from which two texts are near-copies.
        similarity: cosine similarity of whole rows from which they are copies in other words; None: not asked.
    """
    if not (eval_rows.num_rows and trained.num_rows):
        return []
    best: dict[tuple[int, int], tuple[Kind, float]] = {}
    for kind, pairs in _found(eval_rows, trained, jaccard, similarity):
        for i, j, measured in pairs:
            best.setdefault((i, j), (kind, measured))
    ids = eval_rows["id"].to_pylist()
    named = [trained[name].to_pylist() for name in ("id", "source", "batch")]
    by = trained["trained_by"].to_pylist() if "trained_by" in trained.column_names else None
    matches = [
        Match(ids[i], named[0][j], kind, measured, named[1][j], named[2][j], by and by[j])
        for (i, j), (kind, measured) in best.items()
    ]
    return sorted(matches, key=lambda match: (-match.similarity, match.eval_id, match.trained_id))


def trained_rows(home: Home, candidate: Candidate) -> pa.Table:
    """Every row that a candidate, its incumbent, the incumbent's incumbent … trained on or stopped by, and every
    row that their bases declare.

    Returns:
        Columns of `EXAMPLE_SCHEMA` and `trained_by` (a candidate key, or `base:NAME`). A row that several trained on is
        named once, with the youngest.

    Raises:
        Refused: a split of one of them was never materialized, or was changed.
        WrongInput: what a base declares cannot be read.
    """
    ancestors = [*lineage(home, candidate)]
    tables = [
        _split_rows(home, ancestor, split)
        for ancestor in ancestors
        for split in ("train_split", "validation_split")
    ]
    bases = {ancestor.recipe.base.model_dump_json(): ancestor.recipe.base for ancestor in ancestors}
    rows = pa.concat_tables([*tables, *(_declared_rows(base) for base in bases.values())])
    return rows.take(_first_of_each(rows["id"].to_pylist()))


def _found(
    eval_rows: pa.Table, trained: pa.Table, jaccard: float, similarity: float | None
) -> Iterator[tuple[Kind, Pairs]]:
    left, right = read_words(eval_rows), read_words(trained)
    yield "exact", _same_ids(eval_rows, trained)
    yield "exact", _same_questions(eval_rows, left, trained, right)
    yield "near", similar_pairs(left.grams, right.grams, jaccard)
    yield "edit", edited_copies(left, right, _RARE)
    common = common_phrases(left.texts, _clusters(eval_rows), _COMMON)
    yield "ngram", embedded_questions(left, right, common)
    yield "answer", repeated_answers(left, right, common)
    if similarity is not None:
        yield "meaning", _same_meaning(eval_rows, trained, similarity)


def _same_ids(eval_rows: pa.Table, trained: pa.Table) -> Pairs:
    places = {id: i for i, id in enumerate(eval_rows["id"].to_pylist())}
    pairs = [(places[id], j) for j, id in enumerate(trained["id"].to_pylist()) if id in places]
    return _certain(*np.array(pairs, np.int64).reshape(-1, 2).T)


def _same_questions(eval_rows: pa.Table, left: Words, trained: pa.Table, right: Words) -> Pairs:
    """Pairs whose questions differ in case, white space and disguise at most; equal words alone are no proof."""
    i, j = equal_rows(left.questions, right.questions)
    of_eval, of_trained = (
        dict(zip(places.tolist(), question_keys(table.take(places)), strict=True))
        for table, places in ((eval_rows, np.unique(i)), (trained, np.unique(j)))
    )
    same = np.array([of_eval[a] == of_trained[b] for a, b in zip(i.tolist(), j.tolist(), strict=True)], bool)
    return _certain(i[same], j[same])


def _same_meaning(eval_rows: pa.Table, trained: pa.Table, threshold: float) -> Pairs:
    left, right = (
        embed([row.prompt + "\n\n" + row.answer for row in from_table(table)])
        for table in (eval_rows, trained)
    )
    cosines = left @ right.T
    i, j = np.nonzero(cosines >= threshold)
    return Pairs(i, j, cosines[i, j].astype(np.float64))


def _certain(i: Ints, j: Ints) -> Pairs:
    return Pairs(i, j, np.ones(len(i)))


def _clusters(eval_rows: pa.Table) -> Ints:
    names = eval_rows["cluster" if "cluster" in eval_rows.column_names else "id"].to_pylist()
    return np.unique(np.array(names, object), return_inverse=True)[1]


def lineage(home: Home, candidate: Candidate) -> Iterator[Candidate]:
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
    rows = fit(pq.read_table(folder / "rows.parquet"), EXAMPLE_SCHEMA)
    return _trained_by(rows, candidate.key)


def _declared_rows(base: Base) -> pa.Table:
    """What the base says it was trained on. A row that cannot be read cannot be searched either."""
    found = (row for source in base.trained_on for row in read_source(source))
    return _trained_by(to_table(row for row in found if isinstance(row, Example)), f"base:{base.name}")


def _trained_by(rows: pa.Table, name: str) -> pa.Table:
    return rows.append_column("trained_by", pa.array([name] * rows.num_rows, pa.string()))


def _first_of_each(values: Sequence[str]) -> list[int]:
    first: dict[str, int] = {}
    for position, value in enumerate(values):
        first.setdefault(value, position)
    return list(first.values())
