"""What later batches are compared with: each kept row as hashes, so that the past is never read or hashed again."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.curation.hashes import Hashes
from ft_assets.curation.near_duplicates import GRAM
from ft_assets.curation.turns import Columns, spoken
from ft_assets.curation.words import hash_words, text_key
from ft_assets.recipe_data import Curation

SIGNATURE_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("prompt", pa.uint64(), nullable=False),
        pa.field("answer", pa.uint64(), nullable=False),
        pa.field("judged", pa.bool_(), nullable=False),
        pa.field("grams", pa.list_(pa.uint64()), nullable=False),
        pa.field("embedding", pa.list_(pa.float32())),
    ]
)
"""Arrow form of a signature.

`prompt` and `answer` are keys of the folded texts; `judged` marks preference and KTO rows; `grams` are the row's word
3-grams, each once, whose last two bits say what they are of: 0 the prompt, 1 the answer, 2 an answer that was disliked
or lost. `embedding` is that of the prompt followed by that of the answer, each of unit length, where the recipe asks.
"""

PROMPT, ANSWER, WORSE = (np.uint64(tag) for tag in range(3))
PART = np.uint64(3)
"""The bits of a gram that say what it is of."""


def sign(batch: pa.RecordBatch | pa.Table, settings: Curation) -> pa.Table:
    """Signatures (`SIGNATURE_SCHEMA`) of cleaned rows (`EXAMPLE_SCHEMA`), in their order."""
    columns = Columns(batch)
    prompts = ["\n\n".join(turns[:-1]) for turns in columns.spoken]
    answers = [turns[-1] for turns in columns.spoken]
    verdicts = list(zip(columns.desirable, columns.rejected, answers, strict=True))
    good = ["" if liked is False else answer for liked, _, answer in verdicts]
    worse = [
        answer if liked is False else spoken(lost.content, lost.tool_calls) if lost else ""
        for liked, lost, answer in verdicts
    ]
    grams = _grams({PROMPT: prompts, ANSWER: good, WORSE: worse})
    judged = [liked is not None or lost is not None for liked, lost, _ in verdicts]
    return pa.table(
        [
            batch["id"],
            batch["kind"],
            batch["created_at"],
            pa.array([text_key(text) for text in prompts], pa.uint64()),
            pa.array([text_key(text) for text in answers], pa.uint64()),
            pa.array(judged),
            grams.to_arrow(),
            _embeddings(prompts, answers, settings),
        ],
        schema=SIGNATURE_SCHEMA,
    )


def read_signatures(files: Iterable[Path]) -> Iterable[pa.Table]:
    """Signatures of earlier batches, one file at a time."""
    return (pq.read_table(file, schema=SIGNATURE_SCHEMA) for file in files)


def _grams(parts: dict[np.uint64, list[str]]) -> Hashes:
    """The grams of every part of a row in one set, each marked with its part; an absent text has none."""
    tagged = []
    for tag, texts in parts.items():
        grams = hash_words(texts).grams(GRAM)
        said = np.repeat(np.array([bool(text) for text in texts], bool), grams.lengths)
        grams = grams.take(said)
        tagged.append(Hashes((grams.values & ~PART) | tag, grams.offsets))
    return Hashes.beside(tagged).distinct()


def _embeddings(prompts: list[str], answers: list[str], settings: Curation) -> pa.Array:
    if settings.semantic_similarity is None:
        return pa.nulls(len(prompts), SIGNATURE_SCHEMA.field("embedding").type)
    from ft_assets.curation.embedding import embed

    both = np.hstack([embed(prompts), embed(answers)])
    offsets = np.arange(len(both) + 1, dtype=np.int32) * both.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(both.ravel(), pa.float32()))
