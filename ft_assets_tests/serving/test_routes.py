"""The picture of the routing: kept while the database is away, and right about who answers."""

import asyncio
import logging
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from ft_assets.recipe import Recipe
from ft_assets.serving.problems import ApiProblem
from ft_assets.serving.routes import Picture, Routes, take_picture
from ft_assets.storage.candidates import open_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.tables import batches


def add_model(home: Home, name: str) -> None:
    row = {"model": name, "key": "k", "digest": "d", "origin": "source", "rows": 1}
    with home.database.write() as connection:
        connection.execute(sa.insert(batches).values(**row, opened_at=datetime.now(UTC)))


def rename(home: Home, old: str, new: str) -> None:
    with home.database.write() as connection:
        connection.execute(sa.text(f"ALTER TABLE {old} RENAME TO {new}"))


def test_a_model_that_has_only_data_is_answered_by_the_base(home: Home):
    add_model(home, "young")
    choice = take_picture(home).choose("young", "ann")
    assert (choice.model, choice.arm.address, choice.fallback) == ("young", "base", None)


def test_the_recipe_of_the_newest_candidate_says_how_to_serve(home: Home, recipe: Recipe):
    for tokens in (11, 12):
        serving = recipe.serving.model_copy(update={"max_new_tokens": tokens, "max_batch": tokens})
        open_candidate(home, recipe.model_copy(update={"serving": serving}), ["b"], None, ["a test"])
    picture = take_picture(home)
    assert picture.choose(recipe.model, "ann").settings.max_new_tokens == 12
    assert picture.max_batch() == 12


def test_what_does_not_exist_is_refused(home: Home):
    with pytest.raises(ApiProblem) as refusal:
        take_picture(home).choose("nobody", "ann")
    assert refusal.value.status == 404


def test_the_last_picture_stays_while_the_database_is_away_and_the_log_says_so_once(
    home: Home, caplog: pytest.LogCaptureFixture
):
    seen: list[Picture] = []

    async def scenario() -> None:
        add_model(home, "one")
        routes = Routes(home, seen.append)
        await routes.refresh()
        rename(home, "releases", "gone")
        for _ in range(3):
            await routes.refresh()
        assert set(routes.picture.models) == {"one"}
        rename(home, "gone", "releases")
        add_model(home, "two")
        await routes.refresh()
        assert set(routes.picture.models) == {"one", "two"}

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    assert len(seen) == 2
    assert caplog.text.count("cannot be read") == caplog.text.count("can be read again") == 1
