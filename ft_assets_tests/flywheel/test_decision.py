"""Every answer of the retrain decision, its reasons, and that it never opens two candidates at once."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

import ft_assets.flywheel.decision as module
from ft_assets.flywheel.decision import Decision, decide_retrain
from ft_assets.flywheel.due import SETTLE, decision_due
from ft_assets.flywheel.progress import GIVE_UP_AFTER, progress_of
from ft_assets.recipe import Recipe
from ft_assets.registry.ledger import append
from ft_assets.sources.batches import open_batch
from ft_assets.storage.candidates import get_candidate, list_candidates
from ft_assets.storage.home import Home
from ft_assets.storage.tables import batches, candidates, decisions, records
from ft_assets_tests.flywheel.records import MODEL, batch, drift, end_rollout, example, judge, keep, roll_out

WORDS = [f"the number {number} of things" for number in range(100)]


@pytest.fixture
def recipe(recipe: Recipe) -> Recipe:
    return retraining(recipe, min_new_rows=5)


def retraining(recipe: Recipe, **update: object) -> Recipe:
    return recipe.model_copy(update={"retrain": recipe.retrain.model_copy(update=update)})


def first_candidate(home: Home, recipe: Recipe) -> str:
    batch(home, WORDS[:20])
    decision = decide_retrain(home, recipe)
    assert decision.candidate is not None
    return decision.candidate


def written(home: Home) -> list[dict]:
    return home.database.rows(sa.select(decisions).order_by(decisions.c.seq))


def age(home: Home, table: sa.Table, column: str, by: timedelta) -> None:
    with home.database.write() as connection:
        connection.execute(sa.update(table).values({column: datetime.now(UTC) - by}))


def test_without_curated_rows_there_is_nothing_to_train_on(home: Home, recipe: Recipe) -> None:
    batch(home, WORDS[:3], curated=0)
    decision = decide_retrain(home, recipe)
    assert not decision.retrain and "nothing to train on" in decision.reasons[0]
    assert [row["reasons"] for row in written(home)] == [decision.reasons]


def test_first_candidate_is_opened_of_every_batch_that_has_rows(home: Home, recipe: Recipe) -> None:
    full, empty = batch(home, WORDS[:3]), batch(home, WORDS[3:5], curated=0)
    decision = decide_retrain(home, recipe)
    assert decision.retrain and decision.candidate is not None
    assert decision.reasons == ["it is the first candidate, of 3 curated rows in 1 batch(es)"]
    assert decision.batches == sorted([full, empty])
    opened = get_candidate(home, MODEL, decision.candidate)
    assert (opened.batches, opened.incumbent, list(opened.reasons)) == ((full,), None, decision.reasons)


def test_candidate_on_its_way_makes_new_rows_wait(home: Home, recipe: Recipe) -> None:
    key = first_candidate(home, recipe)
    batch(home, WORDS[20:40])
    decision = decide_retrain(home, recipe)
    assert not decision.retrain
    assert f"candidate {key} is still on its way: it has no gate receipt yet" in decision.reasons[0]
    assert "20 new rows wait" in decision.reasons[1]
    judge(home, key, "pass")
    assert "passed its gate but has no rollout" in decide_retrain(home, recipe).reasons[0]


@pytest.mark.parametrize("state", ["running", "held"])
def test_rollout_under_way_makes_new_rows_wait(home: Home, recipe: Recipe, state: str) -> None:
    key = first_candidate(home, recipe)
    roll_out(home, key, state)
    batch(home, WORDS[20:40])
    decision = decide_retrain(home, recipe)
    assert not decision.retrain
    assert decision.reasons[0] == f"candidate {key} is in its rollout ({state}, with 25% of the traffic)"


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_same_batches_are_not_tried_again_after_the_gate_said_no(
    home: Home, recipe: Recipe, verdict: str
) -> None:
    key = first_candidate(home, recipe)
    judge(home, key, verdict)
    drift(home, True)
    decision = decide_retrain(home, recipe)
    assert not decision.retrain
    assert "all 20 curated rows are in a candidate already" in decision.reasons[0]
    assert f"the gate judged candidate {key}: {verdict}" in decision.reasons[0]
    new = batch(home, WORDS[20:40])
    again = decide_retrain(home, recipe)
    assert again.retrain and again.candidate not in (None, key)
    assert new in get_candidate(home, MODEL, str(again.candidate)).batches


def test_new_candidate_has_all_batches_and_the_champion_as_incumbent(home: Home, recipe: Recipe) -> None:
    key = first_candidate(home, recipe)
    address = roll_out(home, key, "promoted")
    with home.database.write() as connection:
        append(connection, MODEL, "promote", address, address, "test", "better", {})
    batch(home, WORDS[20:40])
    decision = decide_retrain(home, recipe)
    assert decision.reasons[0] == "20 curated rows are new, and retrain.min_new_rows asks for 5"
    opened = get_candidate(home, MODEL, str(decision.candidate))
    assert opened.incumbent == address and len(opened.batches) == 2


def test_few_new_rows_without_drift_are_not_enough(home: Home, recipe: Recipe) -> None:
    judge(home, first_candidate(home, recipe), "fail")
    batch(home, WORDS[20:23])
    assert decide_retrain(home, recipe).reasons[0] == (
        "only 3 curated rows are new, and retrain.min_new_rows asks for 5"
    )
    drift(home, False)
    decision = decide_retrain(home, recipe)
    assert not decision.retrain and "no drift in prompt" in decision.reasons


def test_few_new_rows_with_drift_are_enough_unless_the_recipe_says_no(home: Home, recipe: Recipe) -> None:
    judge(home, first_candidate(home, recipe), "fail")
    batch(home, WORDS[20:23])
    drift(home, True)
    refused = decide_retrain(home, retraining(recipe, on_drift=False))
    assert not refused.retrain and "retrain.on_drift is off" in refused.reasons[-1]
    decision = decide_retrain(home, recipe)
    assert decision.retrain and "drift in prompt" in decision.reasons


def test_drift_report_older_than_the_last_candidate_does_not_count(home: Home, recipe: Recipe) -> None:
    drift(home, True)
    judge(home, first_candidate(home, recipe), "fail")
    batch(home, WORDS[20:23])
    assert not decide_retrain(home, recipe).retrain


def test_candidate_that_died_is_given_up_after_a_day_without_a_step(home: Home, recipe: Recipe) -> None:
    key = first_candidate(home, recipe)
    age(home, candidates, "opened_at", 2 * GIVE_UP_AFTER)
    keep(home, "adapter", key, lambda folder: (folder / "x").write_text("x"), "adapters")
    candidate = get_candidate(home, MODEL, key)
    alive = progress_of(home, candidate)
    assert alive.ended_at is None and "its last step was adapter, 0 min ago" in alive.sentence
    age(home, records, "recorded_at", GIVE_UP_AFTER)
    batch(home, WORDS[20:40])
    decision = decide_retrain(home, recipe)
    assert decision.retrain and any("is given up" in reason for reason in decision.reasons)


def test_decision_that_died_after_opening_its_candidate_is_written_the_next_time(
    home: Home, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = batch(home, WORDS[:20])

    def die(*_: object) -> Decision:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", die)
        with pytest.raises(KeyboardInterrupt):
            decide_retrain(home, recipe)
    batch(home, WORDS[20:40])
    decision = decide_retrain(home, recipe)
    assert decision.retrain and decision.batches == [first]
    assert [item.key for item in list_candidates(home, MODEL)] == [decision.candidate]
    assert decision_due(home, recipe).now  # the batch that came after the crash was not looked at
    assert not decide_retrain(home, recipe).retrain
    assert [row["candidate"] for row in written(home)] == [decision.candidate, None]


def test_decision_is_due_once_for_every_batch(home: Home, recipe: Recipe) -> None:
    assert not decision_due(home, recipe).now
    judge(home, first_candidate(home, recipe), "fail")
    assert not decision_due(home, recipe).now
    batch(home, WORDS[20:23])
    assert decision_due(home, recipe).now
    decide_retrain(home, recipe)
    assert not decision_due(home, recipe).now


def test_decision_waits_for_batches_still_in_curation_but_not_for_ever(home: Home, recipe: Recipe) -> None:
    batch(home, WORDS[:20])
    late = open_batch(home, MODEL, [example("late")], "source")
    due = decision_due(home, recipe)
    assert not due.now and str(late) in due.why
    age(home, batches, "opened_at", SETTLE)
    assert decision_due(home, recipe).now


@pytest.mark.parametrize("end", ["promoted", "rolled_back", "aborted"])
def test_end_of_the_rollout_makes_a_decision_due_for_the_rows_that_waited(
    home: Home, recipe: Recipe, end: str
) -> None:
    key = first_candidate(home, recipe)
    roll_out(home, key, "running")
    batch(home, WORDS[20:40])
    assert not decide_retrain(home, recipe).retrain
    waiting = decision_due(home, recipe)
    assert not waiting.now
    end_rollout(home, key, end)
    due = decision_due(home, recipe)
    assert due.now and due.situation != waiting.situation
    assert decide_retrain(home, recipe).retrain
    assert not decision_due(home, recipe).now


def test_end_of_a_rollout_that_nothing_waited_for_makes_no_decision_due(home: Home, recipe: Recipe) -> None:
    key = first_candidate(home, recipe)
    roll_out(home, key, "running")
    end_rollout(home, key, "promoted")
    assert not decision_due(home, recipe).now
