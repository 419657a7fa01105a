"""What candidates cost: each attempt once, however it ended, and refused where the money is spent."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ft_assets.errors import Refused
from ft_assets.recipe import Recipe
from ft_assets.recipe_cost import Cost
from ft_assets.storage.costs import Expense, add_up, costs_of, record_cost, show_money, table_of
from ft_assets.storage.home import Home
from ft_assets.storage.meter import Usage, metered, read_attempt, tell_usage
from ft_assets.storage.tables import costs
from ft_assets_tests.postgres import about_sqlite

WHOSE = "tiny", "20260101T0000-00000000"
PRICE = Cost(price_per_hour=3.6, watts=360)


def expense(attempt: str, **changes: Any) -> Expense:
    values = {
        "attempt": attempt,
        "model": WHOSE[0],
        "candidate": WHOSE[1],
        "stage": "training",
        "run_id": "run",
        "device": "cpu",
        "devices": 1,
        "device_seconds": 10.0,
        "tokens": 100,
        "watt_hours": 1.0,
        "money": 0.01,
        "currency": "EUR",
    }
    return Expense(**{**values, **changes})


def test_sums_are_those_of_the_rows_and_currencies_are_not_mixed(home: Home) -> None:
    record_cost(home, expense("a"))
    record_cost(home, expense("b", stage="evaluation", tokens=7, watt_hours=None))
    record_cost(home, expense("c", candidate="other", money=0.5, currency="USD"))
    record_cost(home, expense("d", model="else", money=None, currency=None, watt_hours=None))
    assert [each.attempt for each in costs_of(home, *WHOSE)] == ["a", "b"]
    total = add_up(costs_of(home, "tiny"))
    assert (total.attempts, total.device_seconds, total.tokens, total.watt_hours) == (3, 30.0, 207, 2.0)
    assert total.money == {"EUR": 0.02, "USD": 0.5}
    assert total.words() == "30.0 device-seconds, 207 tokens, about 2 Wh, 0.02 EUR, 0.50 USD"
    unpriced = add_up(costs_of(home, "else"))
    assert unpriced.money == {} and unpriced.watt_hours is None
    rows = [(row["model"], row["candidate"], row["stage"], row["tokens"]) for row in table_of(home, "tiny")]
    assert rows == [
        ("tiny", "all", "all", 207),
        ("tiny", WHOSE[1], "all", 107),
        ("tiny", WHOSE[1], "training", 100),
        ("tiny", WHOSE[1], "evaluation", 7),
        ("tiny", "other", "all", 100),
        ("tiny", "other", "training", 100),
    ]


def test_an_attempt_is_counted_once(home: Home) -> None:
    assert record_cost(home, expense("a"))
    assert not record_cost(home, expense("a", device_seconds=99.0))
    assert costs_of(home) == [expense("a")]


@pytest.mark.parametrize(
    "change",
    [
        sa.update(costs).values(money=0.0),
        sa.delete(costs),
        pytest.param(
            sa.insert(costs)
            .prefix_with("OR REPLACE")
            .from_select(
                [column.name for column in costs.columns if column.name != "seq"],
                sa.select(*(column for column in costs.columns if column.name != "seq")),
            ),
            marks=about_sqlite,
        ),
    ],
    ids=["update", "delete", "replace"],
)
def test_what_was_spent_cannot_be_changed(home: Home, change: sa.Executable) -> None:
    record_cost(home, expense("a"))
    with pytest.raises(sa.exc.IntegrityError, match="append-only"), home.database.write() as connection:
        connection.execute(change)
    assert costs_of(home) == [expense("a")]


def test_a_block_is_counted_with_what_its_child_told(home: Home, tmp_path: Path) -> None:
    with metered(home, WHOSE, "training", PRICE, tmp_path, "run") as meter:
        for process in range(2):
            tell_usage(tmp_path, Usage(device="cuda", devices=2, tokens=50), process)
        time.sleep(0.05)
    (found,) = costs_of(home)
    assert found == meter.expense
    assert (found.device, found.devices, found.tokens, found.run_id) == ("cuda", 2, 100, "run")
    assert found.device_seconds >= 0.1
    assert found.money == pytest.approx(found.device_seconds / 1000, abs=1e-6)
    assert found.watt_hours == pytest.approx(found.device_seconds / 10, abs=1e-4)
    assert set(meter.shown) == {"device_seconds", "watt_hours", "money", "currency"}
    assert read_attempt(tmp_path) is None


def test_without_a_section_only_seconds_and_tokens_are_counted(home: Home, tmp_path: Path) -> None:
    with metered(home, WHOSE, "training", None, tmp_path, "run") as meter:
        tell_usage(tmp_path, Usage(device="cpu", tokens=50))
    assert set(meter.shown) == {"device_seconds"}
    (found,) = costs_of(home)
    assert (found.tokens, found.money, found.watt_hours, found.currency) == (50, None, None, None)


def test_a_block_that_failed_is_counted(home: Home, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no more"), metered(home, WHOSE, "search", PRICE, tmp_path, "run"):
        tell_usage(tmp_path, Usage(device="cpu", tokens=50))
        raise ValueError("no more")
    (found,) = costs_of(home)
    assert (found.stage, found.tokens) == ("search", 50)


def test_a_retry_counts_only_what_it_used_itself(home: Home, tmp_path: Path) -> None:
    with metered(home, WHOSE, "training", PRICE, tmp_path, "first"):
        tell_usage(tmp_path, Usage(device="cpu", tokens=50))
        time.sleep(0.2)
    with metered(home, WHOSE, "training", PRICE, tmp_path, "second"):
        pass
    first, second = costs_of(home)
    assert (first.tokens, second.tokens, second.device) == (50, 0, "")
    assert second.device_seconds < first.device_seconds


_KILLED = """
import os, sys, time
from pathlib import Path
from ft_assets.recipe_cost import Cost
from ft_assets.storage.home import Home
from ft_assets.storage.meter import Usage, metered, tell_usage

work = Path(sys.argv[1])
with metered(Home(), ("tiny", "20260101T0000-00000000"), "training", Cost(price_per_hour=3.6), work, "killed"):
    time.sleep(0.3)
    tell_usage(work, Usage(device="cpu", tokens=50))
    print("told", flush=True)
    time.sleep(60)
"""


def test_a_run_that_was_killed_is_counted_by_the_next_one(home: Home, tmp_path: Path) -> None:
    begun = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout and child.stdout.readline() == "told\n"
    told = time.monotonic() - begun
    assert read_attempt(tmp_path) is not None
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert costs_of(home) == []
    assert read_attempt(tmp_path) is None, "whoever trains by hand now is not of that attempt"
    time.sleep(0.5)  # nobody worked, so this does not count
    for run in ("next", "last"):
        with metered(home, WHOSE, "training", PRICE, tmp_path, run):
            pass
    killed, *later = costs_of(home)
    assert (killed.run_id, killed.tokens, killed.device) == ("killed", 50, "cpu")
    assert 0.3 <= killed.device_seconds <= told
    assert killed.money == pytest.approx(killed.device_seconds / 1000, abs=1e-6)
    assert [each.run_id for each in later] == ["next", "last"]


def test_what_is_begun_after_the_budget_is_refused_in_words(home: Home, tmp_path: Path) -> None:
    record_cost(home, expense("a", money=1.5))
    record_cost(home, expense("b", candidate="other", money=40.0))
    record_cost(home, expense("c", money=40.0, currency="USD"))
    with metered(home, WHOSE, "training", Cost(price_per_hour=1, budget=2), tmp_path, "run"):
        pass
    record_cost(home, expense("d", stage="search", money=0.75))
    with pytest.raises(Refused) as refusal, _never(home, Cost(price_per_hour=1, budget=2), tmp_path):
        pytest.fail("it was begun")
    assert "the evaluation of tiny 20260101T0000-00000000 was not begun" in str(refusal.value)
    assert "has cost 2.25 EUR" in str(refusal.value)
    assert "`cost.budget` is 2.00 EUR; raise `cost.budget` in the recipe of tiny" in str(refusal.value)
    with _never(home, Cost(price_per_hour=1, budget=3), tmp_path):
        pass


def _never(home: Home, cost: Cost, work: Path) -> Any:
    return metered(home, WHOSE, "evaluation", cost, work, "run")


def test_a_price_is_part_of_the_digest(recipe: Recipe) -> None:
    assert recipe.cost is None
    assert recipe.model_copy(update={"cost": PRICE}).digest() != recipe.digest()


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        ({"price_per_hour": -1}, "greater than or equal to 0"),
        ({"price_per_hour": 1, "currency": "euro"}, "pattern"),
        ({"price_per_hour": 1, "budget": 0}, "greater than 0"),
        ({"price_per_hour": 0, "budget": 5}, "nothing would ever be spent"),
        ({"price_per_hour": 1, "watt": 5}, "not permitted"),
    ],
)
def test_a_section_that_says_nothing_sensible_is_refused(section: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Cost.model_validate(section)


def test_less_than_a_cent_is_shown_by_its_digits() -> None:
    amounts = [show_money(money, "EUR") for money in (0.0, 0.00123, 0.0123, 12.3)]
    assert amounts == ["0.00 EUR", "0.0012 EUR", "0.01 EUR", "12.30 EUR"]
