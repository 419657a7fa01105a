"""Candidates: attempts at a model, each with the recipe, batches and incumbent it was opened with."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from ft_assets.errors import Refused
from ft_assets.recipe import Recipe
from ft_assets.storage.home import Home
from ft_assets.storage.keys import new_key
from ft_assets.storage.tables import candidates


@dataclass(frozen=True)
class Candidate:
    """What is fixed when an attempt is opened. `incumbent` is an address, or None when only the base serves."""

    model: str
    key: str
    batches: tuple[str, ...]
    incumbent: str | None
    recipe: Recipe
    reasons: tuple[str, ...]
    opened_at: datetime


def open_candidate(
    home: Home, recipe: Recipe, batches: Sequence[str], incumbent: str | None, reasons: Sequence[str]
) -> Candidate:
    """Open a candidate, or return the one that was opened before with the same recipe, batches and incumbent."""
    content = json.dumps([recipe.digest(), sorted(batches), incumbent])
    digest = hashlib.sha256(content.encode()).hexdigest()
    table = candidates
    same = sa.select(table.c.key).where(table.c.model == recipe.model, table.c.key.endswith(f"-{digest[:8]}"))
    with home.database.write() as connection:
        key = connection.scalar(same)
        if key is None:
            key = new_key(digest)
            row = {
                "model": recipe.model,
                "key": key,
                "batches": sorted(batches),
                "incumbent": incumbent,
                "recipe": recipe.model_dump(mode="json"),
                "recipe_digest": recipe.digest(),
                "reasons": list(reasons),
                "opened_at": datetime.now(UTC),
            }
            connection.execute(sa.insert(table).values(row))
    return get_candidate(home, recipe.model, key)


def get_candidate(home: Home, model: str, key: str) -> Candidate:
    """The candidate of a partition key.

    Raises:
        Refused: no such candidate was opened.
    """
    table = candidates
    row = home.database.row(sa.select(table).where(table.c.model == model, table.c.key == key))
    if row is None:
        raise Refused(f"{model} has no candidate {key}: candidates are opened by {model}/retrain_decision")
    return _from_row(row)


def list_candidates(home: Home, model: str | None = None) -> list[Candidate]:
    """Every candidate, of one model or of all, oldest first."""
    query = sa.select(candidates).order_by(candidates.c.opened_at, candidates.c.key)
    if model is not None:
        query = query.where(candidates.c.model == model)
    return [_from_row(row) for row in home.database.rows(query)]


def _from_row(row: dict) -> Candidate:
    del row["recipe_digest"]
    row["recipe"] = Recipe.model_validate(row["recipe"])
    return Candidate(**{**row, "batches": tuple(row["batches"]), "reasons": tuple(row["reasons"])})
