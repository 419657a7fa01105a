"""The near-duplicate step by several libraries: from texts in memory to pairs, or to rows to drop.

Every arm compares sets of word 3-grams at a Jaccard similarity of 0.5 and makes its own tokens. rensa's and
datasketch's settings are those of their documentation: 128 permutations, and bands that suit the threshold.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.curation_rows import word_grams

THRESHOLD = 0.5
_PERMUTATIONS = 128
_BANDS = 32
_SEED = 42

Pairs = set[tuple[int, int]]
"""Of rows, the earlier one first."""

Found = Pairs | list[int] | frozenset[int]
"""Where an arm does not tell of what rows are copies: a list of those to drop, or a set of all that have a copy."""


def ours(texts: Sequence[str]) -> Found:
    from ft_assets.curation.near_duplicates import gram_sets, similar_pairs

    pairs = similar_pairs(gram_sets(texts), None, THRESHOLD)
    return set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))


def rensa_inline(texts: Sequence[str]) -> Found:
    """The way that its README shows: each row is compared with those kept so far, by sketches alone."""
    from rensa import RMinHashDeduplicator  # pyright: ignore[reportAttributeAccessIssue]

    index = RMinHashDeduplicator(threshold=THRESHOLD, num_perm=_PERMUTATIONS, use_lsh=True, seed=_SEED)
    kept = index.add_pairs((str(row), _tokens(text)) for row, text in enumerate(texts))
    return [row for row, keep in enumerate(kept) if not keep]


def rensa_batch(texts: Sequence[str]) -> Found:
    """Its fastest calls: all sketches at once, then one flag a row for sharing a band with any other row."""
    from rensa import RMinHash, RMinHashLSH  # pyright: ignore[reportAttributeAccessIssue]

    sketches = RMinHash.digest_matrix_from_token_sets(
        [_tokens(text) for text in texts], num_perm=_PERMUTATIONS, seed=_SEED
    )
    index = RMinHashLSH(THRESHOLD, _PERMUTATIONS, _BANDS)
    flags = index.query_duplicate_flags_matrix_one_shot(sketches)
    return frozenset(row for row, flag in enumerate(flags) if flag)


def rensa_lsh(texts: Sequence[str]) -> Pairs:
    """Each row is looked up before it goes into the index; whatever the index proposes counts."""
    from rensa import RMinHash, RMinHashLSH  # pyright: ignore[reportAttributeAccessIssue]

    index, found = RMinHashLSH(THRESHOLD, _PERMUTATIONS, _BANDS), set()
    for row, text in enumerate(texts):
        sketch = RMinHash(_PERMUTATIONS, _SEED)
        sketch.update(_tokens(text))
        found.update((earlier, row) for earlier in index.query(sketch))
        index.insert(row, sketch)
    return found


def rensa_verified(texts: Sequence[str]) -> Found:
    """The same, with every proposal checked on the texts."""
    return _verified(texts, rensa_lsh(texts))


def datasketch_verified(texts: Sequence[str]) -> Found:
    from datasketch import MinHash, MinHashLSH

    index, found = MinHashLSH(THRESHOLD, _PERMUTATIONS), set()
    blank = MinHash(_PERMUTATIONS)  # a copy spares it drawing the permutations again
    for row, text in enumerate(texts):
        sketch = blank.copy()
        sketch.update_batch([token.encode() for token in _tokens(text)])
        found.update((earlier, row) for earlier in index.query(sketch))
        index.insert(row, sketch)
    return _verified(texts, found)


def duckdb_read_and_hash(path: Path) -> Found:
    """The bound: reading column `text` from Parquet and hashing each, which tells how many are exact copies only."""
    import duckdb

    connection = duckdb.connect(config={"threads": 1})
    query = f"SELECT count(*) - count(DISTINCT hash(text)) FROM read_parquet('{path}')"
    return list(range(connection.execute(query).fetchall()[0][0]))


def make_arms(path: Path) -> dict[str, Callable[[Sequence[str]], Found]]:
    """All arms by name; `path` is a Parquet file of the same texts, for the bound."""
    in_memory = (ours, rensa_inline, rensa_batch, rensa_lsh, rensa_verified, datasketch_verified)
    return {arm.__name__: arm for arm in in_memory} | {
        "duckdb_read_and_hash": lambda _: duckdb_read_and_hash(path)
    }


def _tokens(text: str) -> list[str]:
    words = text.split()
    return list(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


def _verified(texts: Sequence[str], proposed: Pairs) -> Pairs:
    grams = [word_grams(text) for text in texts]
    return {(i, j) for i, j in proposed if _jaccard(grams[i], grams[j]) >= THRESHOLD}


def _jaccard(one: set[str], other: set[str]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
