"""When an adapter had traffic."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ft_assets.registry.ledger import Action, Entry
from ft_assets.registry.served import spans

START = datetime(2026, 11, 21, tzinfo=UTC)


def ledger(*moves: tuple[Action, str, str, float]) -> list[Entry]:
    """Entries an hour apart: action, address, champion after it, and weight."""
    return [
        Entry(at, "tiny", action, address, champion, "ada", action, details(weight), START + at * HOUR)
        for at, (action, address, champion, weight) in enumerate(moves)
    ]


def details(weight: float) -> dict[str, Any]:
    return {"weight": weight}


HOUR = timedelta(hours=1)


def test_nothing_was_served_before_the_first_move() -> None:
    assert spans([], "a") == []


def test_a_canary_that_wins_and_is_rolled_back() -> None:
    entries = ledger(
        ("canary", "a", "base", 0.25),
        ("step", "a", "base", 0.5),
        ("promote", "a", "a", 1.0),
        ("rollback", "a", "base", 0.0),
    )
    assert [(span.share, span.since, span.until) for span in spans(entries, "a")] == [
        (0.25, START, START + HOUR),
        (0.5, START + HOUR, START + 2 * HOUR),
        (1.0, START + 2 * HOUR, START + 3 * HOUR),
    ]
    assert [span.share for span in spans(entries, "base")] == [0.75, 0.5, 1.0]
    assert spans(entries, "base")[-1].until is None


def test_entries_that_change_nothing_for_it_make_no_new_span() -> None:
    entries = ledger(("canary", "a", "base", 0.25), ("hold", "a", "base", 0.25), ("abort", "a", "base", 0.0))
    (only,) = spans(entries, "a")
    assert (only.since, only.until, only.reason) == (START, START + 2 * HOUR, "canary")


moves = st.tuples(
    st.sampled_from(["canary", "step", "hold", "promote", "rollback"]),
    st.sampled_from("AB"),
    st.sampled_from(["base", "A", "B"]),
    st.sampled_from([0.25, 0.5]),
)


@given(
    st.lists(moves.filter(lambda move: move[1] != move[2] or move[0] in ("promote", "rollback")), max_size=8)
)
def test_shares_sum_to_one_at_every_moment(moved: list[Any]) -> None:
    entries = ledger(*moved)
    for entry in entries:
        shares = [
            span.share
            for address in ("base", "A", "B")
            for span in spans(entries, address)
            if span.since <= entry.at and (span.until is None or entry.at < span.until)
        ]
        assert sum(shares) == 1.0
