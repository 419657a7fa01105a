"""Raw rows are deleted when their time is up, and only then."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from ft_assets.errors import Refused
from ft_assets.recipe import Recipe
from ft_assets.sources.batches import batch_folder, find_batch, open_batch
from ft_assets.sources.example import Example, Message
from ft_assets.sources.retention import Expired, delete_expired
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, write_record
from ft_assets.storage.tables import batches

_MADE = datetime(2020, 1, 1, tzinfo=UTC)


def age(home: Home, key: str, days: float, model: str = "tiny") -> None:
    """Make a batch look as if it was opened that long ago."""
    opened = datetime.now(UTC) - timedelta(days=days)
    with home.database.write() as connection:
        is_it = (batches.c.key == key, batches.c.model == model)
        connection.execute(sa.update(batches).where(*is_it).values(opened_at=opened))


def _open(home: Home, answer: str, model: str = "tiny") -> str:
    turns = (Message(role="user", content="Say it."), Message(role="assistant", content=answer))
    rows = [Example(messages=turns, source="test", license="MIT", created_at=_MADE)]
    return open_batch(home, model, rows, "file") or ""


def _keep(recipe: Recipe, days: int | None) -> Recipe:
    return recipe.model_copy(
        update={"curation": recipe.curation.model_copy(update={"raw_retention_days": days})}
    )


def test_only_expired_rows_are_deleted_and_their_batch_stays(home: Home, recipe: Recipe) -> None:
    old, young = _open(home, "old"), _open(home, "young")
    age(home, old, 30.1)
    age(home, young, 29.9)
    digest = find_batch(home, "tiny", old)["digest"]
    write_record(home, Record("tiny", "curated_batch", old, "datasets", "0" * 64))
    assert delete_expired(home, recipe) == [Expired(old, curated=True)]
    assert not home.artifacts.exists("batches", digest)
    deleted = find_batch(home, "tiny", old)["rows_deleted_at"]
    assert datetime.now(UTC) - deleted < timedelta(minutes=1)
    assert batch_folder(home, "tiny", young).is_dir()
    assert delete_expired(home, recipe) == []


def test_reading_afterwards_says_when_and_why(home: Home, recipe: Recipe) -> None:
    key = _open(home, "old")
    age(home, key, 31)
    delete_expired(home, recipe)
    today = f"{find_batch(home, 'tiny', key)['rows_deleted_at']:%Y-%m-%d}"
    with pytest.raises(Refused, match=rf"{key} of tiny were deleted on {today}.*raw_retention_days"):
        batch_folder(home, "tiny", key)


def test_a_batch_that_nobody_curated_is_deleted_and_told_apart(home: Home, recipe: Recipe) -> None:
    key = _open(home, "old")
    age(home, key, 31)
    assert delete_expired(home, recipe) == [Expired(key, curated=False)]


def test_rows_that_an_unexpired_batch_shares_stay_until_its_time(home: Home, recipe: Recipe) -> None:
    key, other = _open(home, "same"), _open(home, "same", model="other")
    digest = find_batch(home, "tiny", key)["digest"]
    assert find_batch(home, "other", other)["digest"] == digest
    age(home, key, 31)
    assert len(delete_expired(home, recipe)) == 1
    assert batch_folder(home, "other", other).is_dir()
    with pytest.raises(Refused):
        batch_folder(home, "tiny", key)
    age(home, other, 31, model="other")
    delete_expired(home, recipe.model_copy(update={"model": "other"}))
    assert not home.artifacts.exists("batches", digest)


def test_no_retention_time_keeps_rows_for_ever(home: Home, recipe: Recipe) -> None:
    key = _open(home, "old")
    age(home, key, 10_000)
    assert delete_expired(home, _keep(recipe, None)) == []
    assert batch_folder(home, "tiny", key).is_dir()
    assert len(delete_expired(home, _keep(recipe, 9_999))) == 1


def test_a_deletion_that_was_cut_short_is_finished(home: Home, recipe: Recipe) -> None:
    key = _open(home, "old")
    age(home, key, 31)
    home.artifacts.remove("batches", find_batch(home, "tiny", key)["digest"])  # and no row says so yet
    assert delete_expired(home, recipe) == [Expired(key, curated=False)]


def test_content_that_comes_again_after_its_deletion_opens_nothing(home: Home, recipe: Recipe) -> None:
    key = _open(home, "old")
    age(home, key, 31)
    delete_expired(home, recipe)
    assert _open(home, "old") == key
    assert not home.artifacts.exists("batches", find_batch(home, "tiny", key)["digest"])
