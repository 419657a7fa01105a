"""What changed from one candidate to another."""

import pytest

from ft_assets.errors import WrongInput
from ft_assets.recipe import Recipe
from ft_assets.registry.difference import difference
from ft_assets.storage.home import Home
from ft_assets_tests.registry.attempts import attempt, hold


def test_data_settings_scores_and_answers(home: Home, recipe: Recipe) -> None:
    one, _ = attempt(home, recipe, "one")
    faster = recipe.model_copy(update={"training": recipe.training.model_copy(update={"rank": 3})})
    two, _ = attempt(home, faster, "two")
    found = difference(home, f"tiny@{one.key}", f"tiny@{two.key}")
    data = found["data"]
    assert (data["batches_added"], data["batches_removed"]) == (["batch-two"], ["batch-one"])
    assert data["train"] == {"rows_added": 1, "rows_removed": 1, "rows_kept": 1}
    assert found["settings"] == {"training.rank": [recipe.training.rank, 3]}
    assert found["scores"] == {"verdict": ["pass", "pass"], "loss": [2.0, 2.0]}
    answers = found["answers"]
    assert (answers["eval_rows_shared"], answers["answers_changed"]) == (2, 1)
    assert (answers["examples"][0]["before"], answers["examples"][0]["after"]) == ("one", "two")


def test_a_candidate_does_not_differ_from_itself(home: Home, recipe: Recipe) -> None:
    one, _ = attempt(home, recipe, "one")
    found = difference(home, f"tiny@{one.key}", f"tiny@{one.key}")
    assert found["settings"] == {}
    assert found["answers"]["answers_changed"] == 0


def test_what_is_not_there_yet_is_left_out(home: Home, recipe: Recipe) -> None:
    one, _ = attempt(home, recipe, "one")
    two, _ = attempt(home, recipe, "two")
    with home.database.write() as connection:
        connection.exec_driver_sql(
            f"DELETE FROM records WHERE partition = '{two.key}' AND asset = 'eval_report'"
        )
    found = difference(home, f"tiny@{one.key}", f"tiny@{two.key}")
    assert "answers" not in found
    assert "scores" not in found


def test_settings_that_a_search_found_are_compared_too(home: Home, recipe: Recipe) -> None:
    one, _ = attempt(home, recipe, "one")
    two, _ = attempt(home, recipe, "two")
    training = '{"settings": {"rank": 4}}'
    for candidate, text in ((one, training), (two, training.replace("4", "8"))):
        hold(home, "tiny", "adapter", candidate.key, "adapters", {"training.json": text})
    found = difference(home, f"tiny@{one.key}", f"tiny@{two.key}")
    assert found["settings"] == {"trained_with.rank": [4, 8]}


def test_an_unknown_name_is_wrong_input(home: Home, recipe: Recipe) -> None:
    one, _ = attempt(home, recipe, "one")
    with pytest.raises(WrongInput, match="no candidate is called"):
        difference(home, f"tiny@{one.key}", "tiny@other")
