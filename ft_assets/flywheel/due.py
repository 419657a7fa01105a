"""Whether a retrain decision is due: read from the database alone, so nothing is forgotten after a crash."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ft_assets.flywheel.decision import curated_batches, last_decision
from ft_assets.flywheel.progress import progress_of
from ft_assets.recipe import Recipe
from ft_assets.sources.batches import list_batches
from ft_assets.storage.candidates import list_candidates
from ft_assets.storage.home import Home

SETTLE = timedelta(minutes=10)
"""A decision waits this long for batches that are still being curated: one candidate of all of them is better
than one candidate of the first. After that, a batch that is stuck no longer holds up the others."""


@dataclass(frozen=True)
class Due:
    """Whether to decide now, and why (or why not).

    `situation` names what there is to decide on: a decision that failed is not asked for again before it changes.
    """

    now: bool
    why: str
    situation: str


def decision_due(home: Home, recipe: Recipe) -> Due:
    """A decision is due for batches that none has looked at, and when a candidate has ended that others wait for."""
    model, now = recipe.model, datetime.now(UTC)
    curated = curated_batches(home, model)
    attempts = list_candidates(home, model)
    progress = [progress_of(home, candidate, now) for candidate in attempts]
    ended = [item for item in progress if item.ended_at is not None]
    situation = _digest(curated, [item.candidate for item in ended])
    decided = last_decision(home, model)
    if settling := _settling(home, model, set(curated), now):
        return Due(False, f"batch {settling} is still being curated", situation)
    looked_at = set(decided["batches"]) if decided else set()
    if unseen := [key for key in curated if key not in looked_at]:
        return Due(True, f"no decision has looked at {len(unseen)} curated batch(es)", situation)
    tried = {batch for candidate in attempts for batch in candidate.batches}
    since = [item for item in ended if item.ended_at and decided and item.ended_at > decided["decided_at"]]
    if since and len(ended) == len(progress) and set(curated) - tried:
        return Due(True, f"batches wait, and now {since[-1].sentence}", situation)
    return Due(False, "every curated batch was looked at", situation)


def _settling(home: Home, model: str, curated: set[str], now: datetime) -> str | None:
    for batch in list_batches(home, model):
        if batch["key"] not in curated and now - batch["opened_at"] < SETTLE:
            return batch["key"]
    return None


def _digest(curated: list[str], ended: list[str]) -> str:
    return hashlib.sha256(json.dumps([sorted(curated), sorted(ended)]).encode()).hexdigest()[:16]
