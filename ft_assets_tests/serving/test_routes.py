"""The picture of the routing: kept while the database is away, and right about who answers."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from ft_assets.recipe import Recipe
from ft_assets.serving import routes as module
from ft_assets.serving.keys import add_key, revoke_key
from ft_assets.serving.problems import ApiProblem
from ft_assets.serving.routes import Picture, Routes, take_picture
from ft_assets.serving.stamp import take_stamp
from ft_assets.storage.candidates import open_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.tables import api_keys, batches, rollouts
from ft_assets_tests.serving.factory import promote, release_adapter, set_weight, start_rollout


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


def test_a_release_goes_by_the_names_of_the_command_line(home: Home):
    champion, challenger = (release_adapter(home, "m", digit * 64, "b" * 64) for digit in "ac")
    promote(home, "m", champion)
    start_rollout(home, "m", challenger, champion, 0.5)
    picture = take_picture(home)
    names = {"m@champion": champion, "m@challenger": challenger, "m@candidate-cccccccc": challenger}
    for name, address in names.items():
        choice = picture.choose(name, "ann")
        assert (choice.arm.address, choice.model, choice.rollout) == (address, "m", None)
    for name in ("m@", "m@nobody", "other@champion", "other@candidate-cccccccc"):
        with pytest.raises(ApiProblem):
            picture.choose(name, "ann")


@pytest.mark.parametrize("alias", ["champion", "challenger"])
def test_no_release_is_found_where_the_base_serves_alone(home: Home, alias: str):
    release_adapter(home, "m", "a" * 64, "b" * 64)
    with pytest.raises(ApiProblem):
        take_picture(home).choose(f"m@{alias}", "ann")


def test_whoever_a_route_names_is_among_the_releases(home: Home, monkeypatch: pytest.MonkeyPatch):
    add_model(home, "m")
    changes = iter([lambda: promote(home, "m", release_adapter(home, "m", "a" * 64, "b" * 64))])

    def then_a_change(read: Callable[..., Any]) -> Callable[..., Any]:
        def reading(*args: object) -> Any:
            found = read(*args)
            next(changes, lambda: None)()
            return found

        return reading

    for name in ("list_releases", "route"):
        monkeypatch.setattr(module, name, then_a_change(getattr(module, name)))
    picture = take_picture(home)
    assert picture.choose("m", "ann").arm.address in ("base", *picture.releases)


def test_without_a_first_picture_there_is_none(home: Home, caplog: pytest.LogCaptureFixture):
    async def scenario() -> None:
        routes = Routes(home, lambda _: None)
        rename(home, "releases", "gone")
        await routes.refresh()
        assert not routes.known
        with pytest.raises(ApiProblem) as refusal:
            _ = routes.picture
        assert refusal.value.status == 503
        rename(home, "gone", "releases")
        await routes.refresh()
        assert routes.known and routes.picture == take_picture(home)

    asyncio.run(scenario())
    assert "until it can, nothing is answered" in caplog.text


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


@pytest.fixture
def changes(home: Home, recipe: Recipe) -> dict[str, Callable[[], object]]:
    """Everything that changes a picture, in an order in which it can be done."""
    challenger: list[str] = []
    keys: list[str] = []

    def end_rollout() -> None:
        with home.database.write() as connection:
            connection.execute(sa.update(rollouts).values(state="rolled_back"))

    return {
        "data": lambda: add_model(home, "young"),
        "a candidate": lambda: open_candidate(home, recipe, ["b"], None, ["a test"]),
        "a release": lambda: challenger.append(release_adapter(home, "m", "a" * 64, "b" * 64)),
        "a rollout": lambda: start_rollout(home, "m", challenger[0], "base", 0.0),
        "a share": lambda: set_weight(home, "m", 0.5),
        "a rollback": end_rollout,
        "a promotion": lambda: promote(home, "m", challenger[0]),
        "a key": lambda: keys.append(add_key(home, "ann", ["infer"])[0]),
        "a revoked key": lambda: revoke_key(home, keys[0]),
    }


def test_every_change_is_seen_by_the_next_look(home: Home, changes: dict[str, Callable[[], object]]):
    async def scenario() -> None:
        routes = Routes(home, lambda _: None)
        await routes.refresh()
        for what, change in changes.items():
            before = routes.picture
            change()
            await routes.refresh()
            assert routes.picture == take_picture(home) != before, what

    asyncio.run(scenario())


def test_what_has_not_changed_is_not_read_again(home: Home):
    async def scenario() -> None:
        seen: list[Picture] = []
        routes = Routes(home, seen.append)
        for _ in range(3):
            await routes.refresh()
        assert seen[0] is seen[1] is seen[2], "and whoever follows it is told each time"

    asyncio.run(scenario())


def test_a_change_that_no_stamp_shows_is_followed_in_the_end(home: Home, monkeypatch: pytest.MonkeyPatch):
    async def scenario() -> None:
        add_key(home, "ann", ["infer"])
        routes = Routes(home, lambda _: None)
        await routes.refresh()
        with home.database.write() as connection:
            connection.execute(sa.update(api_keys).values(scopes=["admin"]))
        monkeypatch.setattr(module, "WHOLE_SECONDS", 0.0)
        await routes.refresh()
        assert routes.picture.keys[0].may("admin")

    asyncio.run(scenario())


def test_what_the_companion_has_seen_unchanged_is_not_looked_at_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    looks: list[str] = []

    def look(of: Home) -> str:
        looks.append(take_stamp(of))
        return looks[-1]

    async def scenario() -> None:
        told: list[Picture] = []
        monkeypatch.setattr(module, "take_stamp", look)
        monkeypatch.setattr(module, "REFRESH_SECONDS", 0.05)
        monkeypatch.setattr(module, "SEEN_SECONDS", 0.05)
        routes = Routes(home, told.append)
        await routes.refresh()
        following = asyncio.create_task(routes.keep_fresh())
        while len(told) < 6:
            routes.heard(looks[0])
            await asyncio.sleep(0.005)
        assert len(looks) == 1 and told[-1] is told[0], "and whoever follows it is told each time"
        while len(looks) == 1:  # nothing is heard of the companion any more
            await asyncio.sleep(0.005)
        following.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_a_change_that_the_companion_has_seen_is_followed_at_once(
    home: Home, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "REFRESH_SECONDS", 600.0)

    async def scenario() -> None:
        routes = Routes(home, lambda _: None)
        await routes.refresh()
        following = asyncio.create_task(routes.keep_fresh())
        add_model(home, "m")
        routes.heard(take_stamp(home))
        while "m" not in routes.picture.models:
            await asyncio.sleep(0.005)
        following.cancel()

    asyncio.run(asyncio.wait_for(scenario(), 20))


def test_the_log_says_that_the_database_is_back_also_if_nothing_has_changed(
    home: Home, caplog: pytest.LogCaptureFixture
):
    async def scenario() -> None:
        routes = Routes(home, lambda _: None)
        await routes.refresh()
        rename(home, "releases", "gone")
        await routes.refresh()
        rename(home, "gone", "releases")
        following = asyncio.create_task(routes.keep_fresh())
        while "can be read again" not in caplog.text:
            routes.heard(take_stamp(home))
            await asyncio.sleep(0.005)
        following.cancel()

    with caplog.at_level(logging.INFO):
        asyncio.run(asyncio.wait_for(scenario(), 5))
