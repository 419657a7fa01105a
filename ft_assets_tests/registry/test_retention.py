"""Old adapters go, and never one that serves or that a rollback goes back to."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from ft_assets.recipe import Recipe
from ft_assets.registry.ledger import champion
from ft_assets.registry.releases import release
from ft_assets.registry.retention import prunable, prune
from ft_assets.registry.rollback import rollback
from ft_assets.rollout.start import start
from ft_assets.storage.home import Home
from ft_assets.storage.tables import records
from ft_assets_tests.registry.attempts import attempt, passed
from ft_assets_tests.registry.test_rollback import promoted


def age(home: Home, days: int = 100) -> None:
    with home.database.write() as connection:
        connection.execute(sa.update(records).values(recorded_at=datetime.now(UTC) - timedelta(days=days)))


def test_young_adapters_stay(home: Home, recipe: Recipe) -> None:
    attempt(home, recipe, "one")
    assert prunable(home, 90) == []
    age(home)
    (doomed,) = prunable(home, 90)
    assert doomed.model == "tiny"


def test_rollbacks_still_work_after_it(home: Home, recipe: Recipe) -> None:
    made = promoted(home, recipe, *(f"release {number}" for number in range(7)))
    failed, _ = attempt(home, recipe, "failed")
    age(home)
    gone = prune(home, 90, keep_champions=3)
    assert {row.candidate for row in gone} == {*(item.candidate for item in made[:4]), failed.key}
    for item in (made[5], made[4]):
        assert rollback(home, "tiny", None, "ada", "worse").champion == item.address == champion(home, "tiny")
    assert prunable(home, 90, keep_champions=3) == []


def test_what_it_lists_is_what_it_deletes_and_listing_deletes_nothing(home: Home, recipe: Recipe) -> None:
    attempt(home, recipe, "one")
    age(home)
    listed = prunable(home, 90)
    assert prunable(home, 90) == listed == prune(home, 90)
    assert prunable(home, 90) == []


def test_a_challenger_on_trial_stays(home: Home, recipe: Recipe) -> None:
    made = release(home, "tiny", passed(home, recipe, "one").key)
    age(home)
    start(home, "tiny", made.candidate, "ada")
    assert prunable(home, 90) == []
