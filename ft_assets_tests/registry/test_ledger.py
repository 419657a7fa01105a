"""The ledger is append-only, and answers what served when."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from ft_assets.registry import ledger
from ft_assets.registry.history import at, history
from ft_assets.storage.home import Home
from ft_assets.storage.tables import promotion_ledger


def write(home: Home, champion: str, action: ledger.Action = "promote", address: str = "", **details) -> None:
    with home.database.write() as connection:
        ledger.append(
            connection, "tiny", action, address or champion, champion, "ada@example.org", "why", details
        )


def test_before_the_first_entry_the_base_serves(home: Home) -> None:
    assert ledger.champion(home, "tiny") == "base"
    assert at(home, "tiny").champion == "base"


def test_champion_at_any_time_is_the_last_entry_up_to_then(home: Home) -> None:
    write(home, "tiny@a")
    write(home, "tiny@b")
    first, second = ledger.entries(home, "tiny")
    assert ledger.champion(home, "tiny", first.at - timedelta(microseconds=1)) == "base"
    assert ledger.champion(home, "tiny", first.at) == "tiny@a"
    assert ledger.champion(home, "tiny", second.at - timedelta(microseconds=1)) == "tiny@a"
    assert ledger.champion(home, "tiny") == "tiny@b"


def test_other_models_have_their_own_champion(home: Home) -> None:
    write(home, "tiny@a")
    assert ledger.champion(home, "other") == "base"
    assert ledger.entries(home, "other") == []
    assert len(ledger.entries(home)) == 1


def test_canary_at_a_time_is_named_with_its_share(home: Home) -> None:
    write(home, "base", "canary", "tiny@a", weight=0.25)
    write(home, "tiny@a", "promote")
    entry, _ = ledger.entries(home, "tiny")
    then = at(home, "tiny", entry.at)
    assert (then.champion, then.challenger, then.weight, then.by) == (
        "base",
        "tiny@a",
        0.25,
        "ada@example.org",
    )
    assert at(home, "tiny").challenger is None


@pytest.mark.parametrize(
    "change", [sa.update(promotion_ledger).values(champion="tiny@evil"), sa.delete(promotion_ledger)]
)
def test_written_entries_cannot_be_changed_or_deleted(home: Home, change: sa.Update | sa.Delete) -> None:
    write(home, "tiny@a")
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), home.database.write() as connection:
        connection.execute(change)
    assert ledger.champion(home, "tiny") == "tiny@a"


def test_time_does_not_run_backwards_with_the_clock(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    write(home, "tiny@a")
    (first,) = ledger.entries(home, "tiny")

    class Earlier(datetime):
        @classmethod
        def now(cls, tz=None) -> datetime:
            return datetime(2020, 1, 1, tzinfo=UTC)

    monkeypatch.setattr(ledger, "datetime", Earlier)
    write(home, "tiny@b")
    assert ledger.entries(home, "tiny")[1].at == first.at
    assert ledger.champion(home, "tiny", first.at) == "tiny@b"


def test_history_is_plain_json_oldest_first(home: Home) -> None:
    import json

    write(home, "tiny@a", weight=0.5)
    write(home, "tiny@b")
    lines = json.loads(json.dumps(history(home)))
    assert [line["champion"] for line in lines] == ["tiny@a", "tiny@b"]
    assert lines[0]["details"] == {"weight": 0.5}
    assert lines[0]["by"] == "ada@example.org"
