"""From a row to everything that it reached: sides, adapters, releases, and the times they had traffic."""

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import sqlalchemy as sa

from ft_assets.errors import WrongInput
from ft_assets.evaluation.receipts import find_receipt
from ft_assets.registry.ledger import entries
from ft_assets.registry.served import spans
from ft_assets.storage.candidates import Candidate, list_candidates
from ft_assets.storage.home import Home
from ft_assets.storage.records import find_record
from ft_assets.storage.releases import Release, list_releases
from ft_assets.storage.tables import interactions

_SIDES = ("train", "validation", "eval")
_COLUMNS = ["id", "batch", "parents"]


def reach(home: Home, row: str) -> dict[str, Any]:
    """What a row of data reached, as JSON values.

    Args:
        row: the example's id, 32 hex digits; or of a row that others were made from, the id in their `parents`.

    Raises:
        WrongInput: no candidate's splits hold it.
    """
    releases = {(release.model, release.candidate): release for release in list_releases(home)}
    found = [
        {**where, **_behind(home, candidate, releases.get((candidate.model, candidate.key)))}
        for candidate in list_candidates(home)
        for where in _sides(home, candidate, row)
    ]
    if not found:
        raise WrongInput(
            f"no split holds row {row}; write its whole id (32 hex digits), as in `ft-assets sql "
            f'"SELECT id, messages FROM train_split"`'
        )
    return {"row": row, "reached": found}


def deployments(home: Home, release: Release) -> dict[str, Any]:
    """When a release had traffic, and how many answers it gave."""
    times = spans(entries(home, release.model), release.address)
    answered = home.database.row(
        sa.select(sa.func.count().label("answers")).where(
            interactions.c.model == release.model,
            interactions.c.address == release.address,
            ~interactions.c.shadow,
        )
    )
    assert answered is not None
    return {
        "deployments": [
            {
                "since": span.since.isoformat(),
                "until": span.until.isoformat() if span.until else None,
                "share": span.share,
                "by": span.by,
                "reason": span.reason,
            }
            for span in times
        ],
        **answered,
    }


def _sides(home: Home, candidate: Candidate, row: str) -> Iterator[dict[str, Any]]:
    """Each side of a candidate that holds the row itself, or rows that were made from it."""
    for side in _SIDES:
        record = find_record(home, candidate.model, f"{side}_split", candidate.key)
        if record is None:
            continue
        rows = pq.read_table(
            home.artifacts.path("datasets", record.digest) / "rows.parquet", columns=_COLUMNS
        )
        hit = [one for one in rows.to_pylist() if one["id"] == row or row in one["parents"]]
        if hit:
            yield {
                "model": candidate.model,
                "candidate": candidate.key,
                "side": side,
                "as": sorted(one["id"] for one in hit),
                "batches": sorted({one["batch"] for one in hit if one["batch"]}),
            }


def _behind(home: Home, candidate: Candidate, release: Release | None) -> dict[str, Any]:
    adapter = find_record(home, candidate.model, candidate.recipe.final_adapter, candidate.key)
    receipt = find_receipt(home, candidate.model, candidate.key)
    facts = {
        "adapter": adapter and adapter.digest,
        "verdict": receipt and receipt.verdict,
        "release": release and release.address,
    }
    return facts if release is None else {**facts, **deployments(home, release)}
