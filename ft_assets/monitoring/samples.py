"""What is compared: rows that the champion was trained on, and what has come in since."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from ft_assets.recipe import Recipe
from ft_assets.registry.ledger import BASE, champion
from ft_assets.sources.batches import list_batches
from ft_assets.splitting.canaries import without_canaries
from ft_assets.storage.candidates import Candidate, get_candidate, list_candidates
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of, find_record
from ft_assets.storage.releases import find_release
from ft_assets.storage.tables import interactions

MAX_ROWS = 300
"""Rows taken of each side. Ids are hashes, so the lowest ids are a random sample, and always the same one."""

MIN_ROWS = 30
"""Rows of each side without which nothing is judged."""

UNNAMED = "default"
"""The slice of rows and requests that name none: it says nothing, so it is not compared."""

_SCHEMA = pa.schema(
    [
        ("prompt", pa.string()),
        ("prompt_chars", pa.float64()),
        ("answer_chars", pa.float64()),
        ("slice", pa.string()),
    ]
)


@dataclass(frozen=True)
class Sample:
    """Rows of one side: `prompt`, `prompt_chars`, `answer_chars` (null: not comparable), `slice` (null: unnamed)."""

    origin: str
    rows: pa.Table


def reference_candidate(home: Home, recipe: Recipe) -> Candidate | None:
    """The champion's candidate; where the base still serves, the latest one whose train split was made."""
    serving = champion(home, recipe.model)
    if serving != BASE:
        return get_candidate(home, recipe.model, find_release(home, serving).candidate)
    split = (
        item
        for item in reversed(list_candidates(home, recipe.model))
        if find_record(home, item.model, "train_split", item.key)
    )
    return next(split, None)


def reference_sample(home: Home, candidate: Candidate) -> Sample:
    """A sample of the rows that the candidate was trained on."""
    _, folder = artifact_of(home, candidate.model, "train_split", candidate.key)
    return Sample(f"training rows of candidate {candidate.key}", _sample_of([folder / "rows.parquet"]))


def current_sample(home: Home, candidate: Candidate) -> Sample:
    """The newest requests since the candidate was opened; where they are few, the curated rows it did not have."""
    requests = _requests(home, candidate)
    if requests.num_rows >= MIN_ROWS:
        return Sample("recent requests", requests)
    files = [
        artifact_of(home, candidate.model, "curated_batch", batch["key"])[1] / "rows.parquet"
        for batch in list_batches(home, candidate.model)
        if batch["key"] not in candidate.batches
        and find_record(home, candidate.model, "curated_batch", batch["key"])
    ]
    curated = _sample_of(files)
    if curated.num_rows > requests.num_rows:
        return Sample("new curated rows", curated)
    return Sample("recent requests", requests)


def _requests(home: Home, candidate: Candidate) -> pa.Table:
    serving = champion(home, candidate.model)
    columns = ("messages", "answer", "slice", "address", "error", "cancelled")
    wanted = (
        sa.select(*(interactions.c[name] for name in columns))
        .where(interactions.c.model == candidate.model, interactions.c.created_at > candidate.opened_at)
        .where(~interactions.c.shadow)  # the same request once more, answered to nobody
        .order_by(interactions.c.created_at.desc(), interactions.c.inference_id)
        .limit(4 * MAX_ROWS)
    )
    rows: dict[str, dict[str, Any]] = {}
    for found in home.database.rows(wanted):
        # Only the champion's own answers say something about the champion; the base's always look different.
        comparable = found["address"] == serving != BASE and not (found["error"] or found["cancelled"])
        row = _row(found["messages"], found["answer"] if comparable else None, found["slice"])
        kept = rows.get(row["prompt"])  # a request that is sent again and again counts once
        if kept is None or kept["answer_chars"] is None:
            rows[row["prompt"]] = row
    return _table(list(rows.values())[:MAX_ROWS])


def _sample_of(files: Iterable[Any]) -> pa.Table:
    tables = [
        without_canaries(pq.read_table(file, columns=["id", "messages", "slice", "source"])) for file in files
    ]
    if not tables:
        return _table([])
    lowest = pa.concat_tables(tables).sort_by("id").slice(0, MAX_ROWS).to_pylist()
    return _table(
        [_row(row["messages"][:-1], row["messages"][-1]["content"], row["slice"]) for row in lowest]
    )


def _row(turns: list[dict[str, Any]], answer: str | None, slice: str) -> dict[str, Any]:
    prompt = "\n\n".join(turn["content"] or "" for turn in turns)
    chars = None if answer is None else float(len(answer))
    known = None if slice == UNNAMED else slice
    return {"prompt": prompt, "prompt_chars": float(len(prompt)), "answer_chars": chars, "slice": known}


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=_SCHEMA)
