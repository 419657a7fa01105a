"""From a row to the adapters and deployments that it reached."""

import pytest

from ft_assets.errors import WrongInput
from ft_assets.recipe import Recipe
from ft_assets.registry.ledger import append
from ft_assets.registry.reach import reach
from ft_assets.registry.releases import release
from ft_assets.storage.home import Home
from ft_assets_tests.registry.attempts import attempt, passed, row


def test_a_row_reaches_every_candidate_that_trained_on_it_and_their_traffic(
    home: Home, recipe: Recipe
) -> None:
    one = release(home, "tiny", passed(home, recipe, "one").key)
    two, _ = attempt(home, recipe, "two")
    with home.database.write() as connection:
        append(connection, "tiny", "promote", one.address, one.address, "ada", "won", {})
    first, second = reach(home, row("train of all").id)["reached"]
    assert (first["candidate"], first["side"], first["release"]) == (one.candidate, "train", one.address)
    assert (first["verdict"], first["adapter"]) == ("pass", one.adapter_digest)
    (time,) = first["deployments"]
    assert (time["share"], time["until"], time["by"]) == (1.0, None, "ada")
    assert (second["candidate"], second["release"], second["verdict"]) == (two.key, None, None)


def test_rows_made_from_a_row_count_as_reached_by_it(home: Home, recipe: Recipe) -> None:
    attempt(home, recipe, "one")
    (found,) = reach(home, row("train of all").id)["reached"]
    derived = row("train of one", [row("train of all").id]).id
    assert found["as"] == sorted([row("train of all").id, derived])
    (only,) = reach(home, derived)["reached"]
    assert only["as"] == [derived]
    assert only["batches"] == ["batch-one"]


def test_a_held_out_row_says_so(home: Home, recipe: Recipe) -> None:
    attempt(home, recipe, "one")
    assert [found["side"] for found in reach(home, row("eval of all").id)["reached"]] == ["eval"]


def test_a_row_that_no_split_holds_is_wrong_input(home: Home, recipe: Recipe) -> None:
    attempt(home, recipe, "one")
    with pytest.raises(WrongInput, match="no split holds"):
        reach(home, "0" * 32)
