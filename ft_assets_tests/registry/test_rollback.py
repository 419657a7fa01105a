"""A rollback takes one command, goes back in order, and never to bytes that were changed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.errors import FtAssetsError, Refused, WrongInput
from ft_assets.recipe import Recipe
from ft_assets.registry.ledger import Entry, append, champion, entries
from ft_assets.registry.releases import release
from ft_assets.registry.rollback import previous_champion, rollback
from ft_assets.registry.routing import route
from ft_assets.storage.home import Home
from ft_assets.storage.releases import Release
from ft_assets_tests.registry.attempts import passed


def promoted(home: Home, recipe: Recipe, *names: str) -> list[Release]:
    """Releases that became champion one after another."""
    made = []
    for name in names:
        made.append(release(home, recipe.model, passed(home, recipe, name).key))
        with home.database.write() as connection:
            append(connection, recipe.model, "promote", made[-1].address, made[-1].address, "ada", "won", {})
    return made


def back(home: Home, to: str | None = None) -> str:
    return rollback(home, "tiny", to, "ada@example.org", "users complain").champion


def test_each_rollback_goes_one_champion_further_back(home: Home, recipe: Recipe) -> None:
    one, two, _ = promoted(home, recipe, "one", "two", "three")
    assert [back(home), back(home), back(home)] == [two.address, one.address, "base"]
    with pytest.raises(Refused, match="nothing to go back to"):
        back(home)


def test_rolled_back_champion_is_not_gone_back_to(home: Home, recipe: Recipe) -> None:
    one, _, three = promoted(home, recipe, "one", "two", "three")
    back(home, one.address)
    with home.database.write() as connection:
        append(connection, "tiny", "promote", three.address, three.address, "ada", "again", {})
    assert back(home) == one.address


def test_ledger_names_who_what_and_why(home: Home, recipe: Recipe) -> None:
    one, two = promoted(home, recipe, "one", "two")
    done = rollback(home, "tiny", None, "ada@example.org", "users complain")
    assert (done.left, done.champion, done.ended) == (two.address, one.address, None)
    entry = entries(home, "tiny")[-1]
    assert (entry.action, entry.address, entry.champion) == ("rollback", two.address, one.address)
    assert (entry.by, entry.reason) == ("ada@example.org", "users complain")
    assert route(home, "tiny").champion.adapter_digest == one.adapter_digest


def test_to_names_an_address_a_candidate_or_the_base(home: Home, recipe: Recipe) -> None:
    one, two, _ = promoted(home, recipe, "one", "two", "three")
    assert back(home, one.address) == one.address
    assert back(home, two.candidate) == two.address
    assert back(home, f"tiny@{one.candidate}") == one.address
    with pytest.raises(Refused, match="already served"):
        back(home, "champion")
    assert back(home, "base") == "base"
    with pytest.raises(Refused, match="already served by base"):
        back(home, "base")


@pytest.mark.parametrize("name", ["tiny@000000000000", "", "evil"])
def test_unknown_target_is_wrong_input_and_names_what_there_is(home: Home, recipe: Recipe, name: str) -> None:
    one, _ = promoted(home, recipe, "one", "two")
    with pytest.raises(WrongInput, match=one.address):
        back(home, name)


def test_another_models_release_is_wrong_input(home: Home, recipe: Recipe) -> None:
    promoted(home, recipe, "one")
    (other,) = promoted(home, recipe.model_copy(update={"model": "other"}), "stranger")
    with pytest.raises(WrongInput, match="is a release of other"):
        back(home, other.address)
    assert len(entries(home, "tiny")) == 1


def test_target_whose_bytes_changed_is_refused_and_nothing_moves(home: Home, recipe: Recipe) -> None:
    one, two = promoted(home, recipe, "one", "two")
    folder = home.artifacts.path("adapters", one.adapter_digest)
    (folder / "adapter_model.safetensors").write_text("evil")
    with pytest.raises(Refused, match="changed after it was written"):
        back(home)
    assert champion(home, "tiny") == two.address


def test_people_who_roll_back_at_once_go_back_once(home: Home, recipe: Recipe) -> None:
    made = promoted(home, recipe, *(f"release {number}" for number in range(8)))
    barrier = threading.Barrier(4)

    def ask(_: int) -> str:
        barrier.wait()
        try:
            back(Home(home.root))
        except FtAssetsError as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(4) as pool:
        refusals = [answer for answer in pool.map(ask, range(4)) if answer]
    # Each either moved from the champion that it saw, or was told that someone else had moved it.
    moves = [entry for entry in entries(home, "tiny") if entry.action == "rollback"]
    assert len(moves) + len(refusals) == 4
    assert [move.address for move in moves] == [item.address for item in reversed(made)][: len(moves)]
    assert all("at the same moment" in refusal for refusal in refusals)


@given(st.lists(st.sampled_from("ABC"), max_size=8))
def test_previous_champion_is_never_the_present_one(champions: list[str]) -> None:
    history = [_entry(address) for address in champions]
    seen = previous_champion(history)
    if champions:
        assert seen is not None
        assert seen != champions[-1]
        assert seen in {"base", *champions}
    else:
        assert seen is None


def _entry(address: str) -> Entry:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    return Entry(0, "tiny", "promote", address, address, "ada", "", {}, now)
