"""A search: what it may try, what it finds, and that kill -9 costs it nothing but the step it was in."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna  # noqa: TID253
import pytest
import torch  # noqa: TID253
from optuna.trial import TrialState  # noqa: TID253
from peft import PeftModel  # noqa: TID253

from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.recipe import Recipe, Training
from ft_assets.recipe_search import Search
from ft_assets.storage.artifacts import digest_folder
from ft_assets.training.adapters import load_with_adapter
from ft_assets.training.search_job import SearchJob
from ft_assets.training.search_result import StudyResult, Tried, read_study
from ft_assets.training.search_study import SearchStudy
from ft_assets.training.search_trials import train_trials
from ft_assets.training.search_worker import conclude, search
from ft_assets_tests.training.conftest import Jobs

Searches = Callable[..., SearchJob]

RATES = {"learning_rate": {"low": 1e-3, "high": 3e-2, "log": True}, "rank": [4, 8]}


@pytest.fixture
def new_search(new_job: Jobs) -> Searches:
    """Makes a search in a work folder of its own; keyword arguments are those of the search section."""

    def make(name: str = "work", training: dict[str, Any] | None = None, **search: Any) -> SearchJob:
        inputs = new_job(name, **{"max_steps": 3, "validate_every": 1, **(training or {})})
        section = Search.model_validate({"trials": 4, "space": RATES, **search}).suited_to(inputs.settings)
        job = SearchJob(training=inputs, search=section, work=inputs.work / "search")
        job.work.mkdir()
        job.file.write_text(job.model_dump_json())
        return job

    return make


def search_here(job: SearchJob) -> StudyResult:
    """Search in this process, which spares two starts of seconds."""
    study = SearchStudy(job)
    study.release_abandoned()
    train_trials(job, lambda line: None, os.getppid())
    conclude(job, study)
    return read_study(job.output)


def recipe_with(recipe: Recipe, **search: Any) -> Recipe:
    return Recipe.model_validate({**recipe.model_dump(), "search": search})


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (
            {"learning_rat": [1e-3, 1e-2]},
            r"learning_rat: `training` has no such setting; write one of method, rank, ",
        ),
        ({"seed": [0, 1]}, "space.seed: this setting is not searched: the luckiest seed"),
        ({"device": ["cpu", "cuda"]}, "space.device: this setting is not searched"),
        ({"target_modules": ["q_proj", "v_proj"]}, "space.target_modules: this setting is not searched"),
        ({"max_tokens": [256, 512]}, "space.max_tokens: this setting is not searched: it decides which rows"),
        ({"rank": [8, 0]}, "space.rank: `training` refuses 0: Input should be greater than or equal to 1"),
        (
            {"rank": {"low": 1.5, "high": 8}},
            r"space.rank: `training` refuses 1\.5: Input should be a valid int",
        ),
        ({"dropout": {"low": 0.0, "high": 1.5}}, r"space.dropout: `training` refuses 1\.5"),
        ({"learning_rate": {"low": 0.0, "high": 1e-3}}, r"space.learning_rate: `training` refuses 0\.0"),
        ({"dropout": {"low": 0.0, "high": 0.1, "log": True}}, "must be above 0 where log is true"),
        ({"rank": {"low": 8, "high": 8}}, r"low \(8\) must be below high \(8\)"),
        ({"rank": [8]}, "space.rank: write at least two choices"),
        ({"learning_rate": ["1e-4", 0.0001]}, "space.learning_rate: write at least two choices"),
        ({"rank": {"low": 1, "high": 8, "step": 2}}, "step"),
        ({}, "at least 1 item"),
    ],
)
def test_a_space_that_training_would_refuse_is_refused_with_the_reason(
    recipe: Recipe, space: dict, words: str
):
    with pytest.raises(ValueError, match=words):
        recipe_with(recipe, space=space)


def test_values_are_kept_as_training_reads_them_and_their_order_means_nothing(recipe: Recipe):
    one = recipe_with(recipe, space={"rank": [4, 8], "learning_rate": ["1e-4", "1e-3"]})
    other = recipe_with(recipe, space={"learning_rate": [1e-4, 1e-3], "rank": [4, 8]})
    assert one.search is not None and one.search.space["learning_rate"] == [1e-4, 1e-3]
    assert one.digest() == other.digest() != recipe.digest()
    assert Recipe.model_validate_json(one.model_dump_json()) == one


def test_the_best_complete_trial_wins_and_the_first_is_the_recipe_itself(new_search: Searches):
    job = new_search(training={"rank": 4})
    result = search_here(job)
    assert [tried.number for tried in result.trials] == [1, 2, 3, 4]
    assert {tried.state for tried in result.trials} == {"complete"}
    losses = [tried.validation_loss for tried in result.trials]
    assert result.best_validation_loss == min(loss for loss in losses if loss is not None)
    assert result.best_settings == result.trials[result.best_trial - 1].settings
    assert result.trials[0].settings == {"learning_rate": 1e-2, "rank": 4}
    assert result.trials[1].settings != result.trials[2].settings and len(set(losses)) > 1
    assert result.table().count("\n| ") == 5 and f"| {result.best_trial} (best) |" in result.table()
    assert str(job.work.parent.parent) not in (job.output / "study.json").read_text()


def test_hopeless_trials_are_pruned_and_diverged_ones_never_win(new_search: Searches):
    # A space of lists with no more combinations than trials is tried whole, in order: the good rates come first.
    rates = [1e-2, 1.1e-2, 1.2e-2, 1.3e-2, 1.4e-2, 1e-9, 1e30]
    job = new_search(trials=9, space={"learning_rate": rates}, training={"max_steps": 4, "weight_decay": 0.5})
    result = search_here(job)
    states = [tried.state for tried in result.trials]
    assert states == ["complete"] * 5 + ["pruned", "diverged"]
    *_, pruned, diverged = result.trials
    assert pruned.steps == 2 and "median" in str(pruned.reason)  # the first validation is the warm-up
    assert diverged.steps < 4 and "not finite" in str(diverged.reason)
    assert result.best_trial <= 5
    importances = SearchStudy(job).importances()
    assert importances is not None and importances.keys() == {"learning_rate"}


def test_search_in_which_nothing_comes_to_its_end_says_what_to_change(new_search: Searches):
    job = new_search(space={"learning_rate": [1e29, 1e30]}, training={"weight_decay": 0.5})
    with pytest.raises(WrongInput, match=r"none of 2 trials came to its end .*not finite.*`search\.space`"):
        search_here(job)
    assert not job.output.exists()


def test_without_validation_rows_there_is_no_search(new_job: Jobs, new_search: Searches):
    training = new_job("empty", validation=0)
    job = new_search().model_copy(update={"training": training})
    with pytest.raises(WrongInput, match=r"`splitting\.validation`"):
        train_trials(job, print, os.getppid())


@pytest.mark.slow
def test_a_process_that_fails_is_told_as_what_it_failed_by(new_job: Jobs, new_search: Searches):
    job = new_search(training={"validation": 0})
    with (job.work / "lock").open("w") as lock, pytest.raises(WrongInput, match="no row to judge a trial by"):
        search(job, lambda line: None, os.getppid(), lock)


def test_all_trials_are_judged_by_the_same_rows(new_job: Jobs, new_search: Searches):
    # A trainer steers by more rows the larger its steps are. Untrained, trials differ only by the rows they see.
    training = {"max_steps": 1, "learning_rate": 1e-12}
    job = new_search(trials=2, space={"batch_tokens": [64, 16_384]}, training=training)
    many = job.training.model_copy(update={"validation": new_job("many", validation=400).validation})
    small, large = search_here(job.model_copy(update={"training": many})).trials
    assert small.settings != large.settings and small.validation_loss == large.validation_loss


def test_search_that_was_cut_short_ends_at_the_same_bytes(new_search: Searches):
    undisturbed, job = new_search("undisturbed"), new_search("cut short")
    search_here(undisturbed)
    with pytest.raises(KeyboardInterrupt):  # after the end of a trial
        train_trials(job, _interrupted, os.getppid())
    with pytest.raises(
        BrokenEnvironment, match="the process that asked for it ended"
    ):  # in the middle of one
        train_trials(job, print, parent=0)
    assert [tried.number for tried in SearchStudy(job).tried()] == [1]
    assert any(job.checkpoints(2).rglob("state.safetensors"))
    with pytest.raises(BrokenEnvironment, match="3 of 4 trials are left"):
        conclude(job, SearchStudy(job))
    search_here(job)
    assert digest_folder(job.output) == digest_folder(undisturbed.output)
    assert [*(job.work / "trials").iterdir()] == []


@pytest.mark.slow
def test_two_processes_share_the_trials_and_kill_9_of_their_parent_loses_none(new_search: Searches):
    job = new_search(parallel=2, training={"max_steps": 60, "validate_every": 20})
    command = [sys.executable, "-m", "ft_assets.training.search_worker", str(job.file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert next(process.stdout) == "4 trials, 0 of them finished before; 2 at a time\n"
    study = optuna.load_study(study_name=job.identity(), storage=f"sqlite:///{job.study}")
    while len(study.get_trials(states=(TrialState.RUNNING,))) < 2:
        assert process.poll() is None
        time.sleep(0.1)
    assert next(process.stdout).startswith("trial ")
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    with (
        job.work / "lock"
    ).open() as lock:  # as the next one does: the orphans hold it until they have ended
        fcntl.flock(lock, fcntl.LOCK_EX)
    kept = SearchStudy(job).tried()
    assert 1 <= len(kept) < 4
    trials = search_here(job).trials
    assert [tried.number for tried in trials] == [1, 2, 3, 4]
    assert [trials[tried.number - 1] for tried in kept] == kept


def test_settings_too_large_for_the_memory_fail_and_the_search_goes_on(
    new_search: Searches, monkeypatch: pytest.MonkeyPatch
):
    def load(base: Path, name: str, settings: Training) -> PeftModel:
        if settings.rank == 64:
            raise torch.OutOfMemoryError
        return load_with_adapter(base, name, settings)

    monkeypatch.setattr("ft_assets.training.search_trials.load_with_adapter", load)
    result = search_here(new_search(space={"rank": [64, 4]}))
    assert [tried.state for tried in result.trials] == ["failed", "complete"]
    assert result.trials[0].reason == "out of memory after step 0" and result.best_trial == 2
    assert "| 1 | 64 |  | 0 | failed: out of memory after step 0 |" in result.table()


def test_trial_that_takes_its_process_down_again_and_again_counts_as_failed(new_search: Searches):
    job = new_search()
    study = SearchStudy(job)
    settings = []
    for attempt in range(3):
        claim = study.claim()  # and then the process is gone
        assert claim is not None and claim.number == 1
        settings.append(claim.settings)
        study.release_abandoned()
        assert len(study.tried()) == (attempt == 2)
    (failed,) = study.tried()
    assert failed.state == "failed" and failed.settings == settings[0] == settings[1] == settings[2]
    claim = study.claim()
    assert claim is not None and claim.number == 2


def test_processes_never_take_on_the_same_trial(new_search: Searches):
    job = new_search(trials=3)
    studies = [SearchStudy(job) for _ in range(4)]
    claims = [study.claim() for study in studies]
    assert [claim and claim.number for claim in claims] == [1, 2, 3, None]
    assert len({str(claim.settings) for claim in claims if claim}) == 3


def test_trial_killed_between_its_end_and_telling_optuna_is_not_repeated(
    new_search: Searches, monkeypatch: pytest.MonkeyPatch
):
    study = SearchStudy(new_search())
    claim = study.claim()
    assert claim is not None
    tried = Tried(number=1, state="complete", settings=claim.settings, validation_loss=2.0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("optuna.Study.tell", _interrupted)
        claim.end(tried)
    study.release_abandoned()
    assert study.tried() == [tried]
    following = study.claim()
    assert following is not None and following.number == 2


def _interrupted(*args: object, **settings: object) -> None:
    raise KeyboardInterrupt
