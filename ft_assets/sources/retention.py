"""Raw rows may hold personal data: they are deleted when their time is up. What was curated of them stays."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from ft_assets.recipe import Recipe
from ft_assets.storage.home import Home
from ft_assets.storage.records import find_record
from ft_assets.storage.tables import batches


class Expired(NamedTuple):
    """A batch whose raw rows were deleted. `curated` is False where nobody had made use of them."""

    key: str
    curated: bool


def delete_expired(home: Home, recipe: Recipe) -> list[Expired]:
    """Delete the raw rows of the model's batches that are older than `curation.raw_retention_days`.

    The batch stays, with the moment of the deletion. An artifact that another batch shares, of this model or
    another, stays until that one's time is up too. Safe to repeat, also after a crash half-way.
    """
    days = recipe.curation.raw_retention_days
    if days is None:
        return []
    now = datetime.now(UTC)
    is_expired = (
        batches.c.model == recipe.model,
        batches.c.opened_at < now - timedelta(days=days),
        batches.c.rows_deleted_at.is_(None),
    )
    with home.database.write() as connection:  # so that nobody opens a batch of the same rows meanwhile
        found = connection.execute(sa.select(batches.c.key, batches.c.digest).where(*is_expired)).all()
        connection.execute(sa.update(batches).where(*is_expired).values(rows_deleted_at=now))
        in_use = sa.select(batches.c.digest).where(batches.c.rows_deleted_at.is_(None))
        for digest in {row.digest for row in found} - set(connection.scalars(in_use)):
            home.artifacts.remove("batches", digest)
    return [
        Expired(row.key, find_record(home, recipe.model, "curated_batch", row.key) is not None)
        for row in found
    ]
