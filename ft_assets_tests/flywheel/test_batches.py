"""Feedback becomes batches, each piece of it once, whatever dies in between."""

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ft_assets.flywheel.batches as module
from ft_assets.flywheel.batches import FEEDBACK_LICENSE, take_feedback
from ft_assets.recipe import Recipe
from ft_assets.sources.batches import list_batches
from ft_assets.sources.example import Example, from_table
from ft_assets.storage.home import Home
from ft_assets.storage.tables import feedback
from ft_assets_tests.flywheel.records import START, ask, correct, say


@pytest.fixture
def recipe(recipe: Recipe) -> Recipe:
    return few(recipe, 2)


def few(recipe: Recipe, rows: int) -> Recipe:
    retrain = recipe.retrain.model_copy(update={"min_batch_rows": rows})
    return recipe.model_copy(update={"retrain": retrain})


def rows_of(home: Home, key: str) -> list[Example]:
    import pyarrow.parquet as pq

    batch = next(batch for batch in list_batches(home, "tiny") if batch["key"] == key)
    return list(from_table(pq.read_table(home.artifacts.path("batches", batch["digest"]) / "rows.parquet")))


def batches_of(home: Home) -> dict[str, str | None]:
    return {row["idempotency_key"]: row["batch"] for row in home.database.rows(sa.select(feedback))}


def test_edit_becomes_an_example_that_names_where_it_came_from(home: Home, recipe: Recipe) -> None:
    correct(home, ["a", "b"])
    key = take_feedback(home, recipe)
    assert key is not None
    first = rows_of(home, key)[0]
    assert (first.prompt, first.answer) == ("def a(): ...", "Do the a.")
    assert (first.kind, first.source, first.slice, first.license) == (
        "correction",
        "production",
        "json",
        FEEDBACK_LICENSE,
    )
    assert (first.parents, first.author, first.created_at) == (("a",), "hash", START)
    assert [batch["origin"] for batch in list_batches(home, "tiny")] == ["feedback"]
    assert set(batches_of(home).values()) == {key}


def test_too_few_corrections_wait_for_more(home: Home, recipe: Recipe) -> None:
    correct(home, ["a"])
    say(home, "a", "Do it again.", minute=1)
    assert take_feedback(home, recipe) is None
    assert set(batches_of(home).values()) == {None}
    correct(home, ["b"])
    assert take_feedback(home, recipe) is not None


def test_latest_edit_wins_and_spends_the_earlier_ones(home: Home, recipe: Recipe) -> None:
    correct(home, ["a", "b"])
    say(home, "a", "Do it best.", minute=9)
    say(home, "a", "Do it better.", minute=5)
    key = take_feedback(home, recipe)
    assert key is not None
    assert [row.answer for row in rows_of(home, key)] == ["Do it best.", "Do the b."]
    assert set(batches_of(home).values()) == {key}


def test_thumbs_comments_and_other_models_are_left_alone(home: Home, recipe: Recipe) -> None:
    correct(home, ["a"])
    ask(home, "b")
    left = [
        say(home, "b", "up", "thumb"),
        say(home, "b", "nice", "comment"),
        say(home, "b", None, "escalation"),
    ]
    ask(home, "c", model="other")
    left.append(say(home, "c", "Do the c.", model="other"))
    assert take_feedback(home, recipe) is None
    ask(home, "d")
    say(home, "d", "Do the d.", "demonstration")
    key = take_feedback(home, recipe)
    assert key is not None and len(rows_of(home, key)) == 2
    assert all(batches_of(home)[name] is None for name in left)


def test_edit_of_an_answer_that_was_cut_off_is_left_alone(home: Home, recipe: Recipe) -> None:
    ask(home, "cut", answer="Something or", cancelled=True)
    left = say(home, "cut", "Do the")
    correct(home, ["a"])
    assert take_feedback(home, recipe) is None
    said = say(home, "cut", "Do all of it.", "demonstration", minute=1)
    key = take_feedback(home, recipe)
    assert key is not None
    assert {row.answer for row in rows_of(home, key)} == {"Do the a.", "Do all of it."}
    assert (batches_of(home)[left], batches_of(home)[said]) == (None, key)


def test_nothing_is_taken_twice(home: Home, recipe: Recipe) -> None:
    correct(home, ["a", "b"])
    assert take_feedback(home, recipe) is not None
    assert take_feedback(home, recipe) is None


def dying(step: Callable, times: int = 1, before: bool = False) -> Callable:
    """The same function, whose caller dies the first time just after (or before) it."""
    left = [times]

    def once(*arguments: object) -> object:
        dies, left[0] = left[0] > 0, left[0] - 1
        if dies and before:
            raise KeyboardInterrupt
        answer = step(*arguments)
        if dies:
            raise KeyboardInterrupt
        return answer

    return once


@pytest.mark.parametrize("before", [True, False])
def test_death_around_opening_the_batch_duplicates_and_loses_nothing(
    home: Home, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    correct(home, ["a", "b"])
    monkeypatch.setattr(module, "open_batch", dying(module.open_batch, before=before))
    with pytest.raises(KeyboardInterrupt):
        take_feedback(home, recipe)
    correct(home, ["c", "d"])
    say(home, "a", "Do it best.", minute=9)  # while nobody looked
    first, second, third = (take_feedback(home, recipe) for _ in range(3))
    assert third is None
    assert first is not None and second is not None
    assert [row.parents for row in rows_of(home, first)] == [("a",), ("b",)]
    assert [row.answer for row in rows_of(home, second)] == ["Do it best.", "Do the c.", "Do the d."]
    assert len(list_batches(home, "tiny")) == 2


class Machine:
    """Users who speak, and takers that die at every possible place, in any order."""

    def __init__(self, home: Home, recipe: Recipe) -> None:
        self.home, self.recipe, self.said = home, recipe, 0

    def speak(self) -> None:
        correct(self.home, [f"i{self.said}"])
        self.said += 1

    def take(self) -> None:
        take_feedback(self.home, self.recipe)

    def die(self, before: bool) -> None:
        kept = module.open_batch
        module.open_batch = dying(kept, before=before)
        try:
            take_feedback(self.home, self.recipe)
        except KeyboardInterrupt:
            pass
        finally:
            module.open_batch = kept


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(st.sampled_from(["speak", "speak", "take", "die early", "die late"]), max_size=14))
def test_every_correction_lands_in_exactly_one_batch(
    moves: list[str], tmp_path_factory: pytest.TempPathFactory, recipe: Recipe
) -> None:
    home = Home(tmp_path_factory.mktemp("home"))
    machine = Machine(home, few(recipe, 2))
    for move in moves:
        machine.die(move == "die early") if move.startswith("die") else getattr(machine, move)()
    while take_feedback(home, few(recipe, 1)):
        pass
    held = [row.parents[0] for batch in list_batches(home, "tiny") for row in rows_of(home, batch["key"])]
    assert sorted(held) == sorted(f"i{number}" for number in range(machine.said))
    keys = {batch["key"] for batch in list_batches(home, "tiny")}
    assert set(batches_of(home).values()) == keys


def test_two_takers_at_once_open_one_batch(home: Home, recipe: Recipe) -> None:
    from concurrent.futures import ThreadPoolExecutor

    correct(home, [f"i{number}" for number in range(10)])
    homes = [Home(home.root) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        keys = {key for key in pool.map(lambda one: take_feedback(one, recipe), homes) if key}
    assert [batch["key"] for batch in list_batches(home, "tiny")] == sorted(keys)
    assert len(keys) == 1 and set(batches_of(home).values()) == keys
