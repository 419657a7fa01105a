"""Whether new data is worth a new candidate: decided from what is recorded, and written down also when it is no."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq
import sqlalchemy as sa

from ft_assets.flywheel.progress import progress_of
from ft_assets.recipe import Recipe
from ft_assets.registry.ledger import BASE, champion
from ft_assets.sources.batches import list_batches
from ft_assets.storage.candidates import Candidate, list_candidates, open_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of
from ft_assets.storage.tables import decisions, records


@dataclass(frozen=True)
class Decision:
    """One answer. `batches` are the curated batches looked at; `candidate` is the key it opened, or None."""

    retrain: bool
    reasons: list[str]
    batches: list[str]
    candidate: str | None


@dataclass(frozen=True)
class Drift:
    """What the latest drift report said, if it is newer than the latest candidate."""

    drifted: bool
    headline: str


def decide_retrain(home: Home, recipe: Recipe) -> Decision:
    """Decide, open the candidate if it is yes, and write the decision to table `decisions`."""
    attempts = list_candidates(home, recipe.model)
    if (interrupted := _interrupted(home, attempts)) is not None:
        return interrupted
    rows = {key: _rows(home, recipe.model, key) for key in curated_batches(home, recipe.model)}
    retrain, reasons = _weigh(home, recipe, rows, attempts)
    key = None
    if retrain:
        serving = champion(home, recipe.model)
        filled = [batch for batch in rows if rows[batch]]
        incumbent = None if serving == BASE else serving
        key = open_candidate(home, recipe, filled, incumbent, reasons).key
    return _write(home, recipe.model, Decision(retrain, reasons, sorted(rows), key))


def curated_batches(home: Home, model: str) -> list[str]:
    """Keys of the batches that went through curation, oldest first."""
    made = sa.select(records).where(records.c.model == model, records.c.asset == "curated_batch")
    done = {row["partition"] for row in home.database.rows(made)}
    return [batch["key"] for batch in list_batches(home, model) if batch["key"] in done]


def last_decision(home: Home, model: str) -> dict[str, Any] | None:
    """The latest row of table `decisions` of a model, or None."""
    mine = sa.select(decisions).where(decisions.c.model == model)
    return home.database.row(mine.order_by(decisions.c.seq.desc()).limit(1))


def _weigh(
    home: Home, recipe: Recipe, rows: dict[str, int], attempts: list[Candidate]
) -> tuple[bool, list[str]]:
    """Answer and reasons. `rows` counts the rows of every curated batch."""
    total = sum(rows.values())
    if not total:
        return False, ["no row has come through curation yet, so there is nothing to train on"]
    filled = sum(1 for count in rows.values() if count)
    if not attempts:
        return True, [f"it is the first candidate, of {total} curated rows in {filled} batch(es)"]
    tried = {batch for candidate in attempts for batch in candidate.batches}
    new = sum(count for batch, count in rows.items() if batch not in tried)
    progress = [progress_of(home, candidate) for candidate in attempts]
    if not new:
        return False, [f"all {total} curated rows are in a candidate already; {progress[-1].sentence}"]
    if waiting := [item.sentence for item in progress if item.ended_at is None]:
        return False, [*waiting, f"{new} new rows wait, for two candidates are never under way at once"]
    return _weigh_new(recipe, new, progress[-1].sentence, _drift(home, attempts[-1]))


def _weigh_new(recipe: Recipe, new: int, last: str, drift: Drift | None) -> tuple[bool, list[str]]:
    needed = recipe.retrain.min_new_rows
    reasons = [last]
    if drift is not None:
        reasons.append(drift.headline)
    if new >= needed:
        return True, [f"{new} curated rows are new, and retrain.min_new_rows asks for {needed}", *reasons]
    few = f"only {new} curated rows are new, and retrain.min_new_rows asks for {needed}"
    if drift is None or not drift.drifted:
        return False, [few, *reasons]
    if not recipe.retrain.on_drift:
        return False, [few, *reasons, "retrain.on_drift is off, so drift alone justifies no candidate"]
    return True, [few, *reasons, "with retrain.on_drift, drift justifies a candidate if any row is new"]


def _drift(home: Home, candidate: Candidate) -> Drift | None:
    """The latest drift report, read through its record; None if it is older than the candidate."""
    newer = sa.select(records.c.seq).where(
        records.c.model == candidate.model,
        records.c.asset == "drift_report",
        records.c.recorded_at > candidate.opened_at,
    )
    if home.database.row(newer.limit(1)) is None:
        return None
    _, folder = artifact_of(home, candidate.model, "drift_report")
    figures = json.loads((folder / "drift.json").read_text())
    return Drift(figures["drifted"], figures["headline"])


def _rows(home: Home, model: str, batch: str) -> int:
    _, folder = artifact_of(home, model, "curated_batch", batch)
    return pq.read_metadata(folder / "rows.parquet").num_rows


def _interrupted(home: Home, attempts: list[Candidate]) -> Decision | None:
    """Write the decision that a crash kept from being written after its candidate was opened."""
    if not attempts:
        return None
    latest = attempts[-1]
    written = sa.select(decisions.c.seq).where(
        decisions.c.model == latest.model, decisions.c.candidate == latest.key
    )
    if home.database.row(written) is not None:
        return None
    # Only its own batches count as looked at: one that came after the crash still gets its decision.
    return _write(
        home, latest.model, Decision(True, list(latest.reasons), sorted(latest.batches), latest.key)
    )


def _write(home: Home, model: str, decision: Decision) -> Decision:
    row = {"model": model, **vars(decision), "decided_at": datetime.now(UTC)}
    with home.database.write() as connection:
        connection.execute(sa.insert(decisions).values(row))
    return decision
