"""The study that all processes of a search share, in a SQLite database that survives kill -9 at any moment.

Optuna's journal file does not: a line cut short by a kill makes the study unreadable with the next one, and a process
killed while it held the journal's lock stops the others for half a minute.

A trial has a number of ours, from 1 to `planned`. A trial that its process left unfinished is marked as failed in
the database and its number is free again, with the settings it had. What a number draws depends on the seed, on
itself and on the trials finished before, and not on how often the search was killed.
"""

import fcntl
import hashlib
import itertools
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna  # noqa: TID253
from optuna.distributions import (  # noqa: TID253
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState  # noqa: TID253

from ft_assets.recipe_search import Choice, Range
from ft_assets.training.search_job import SearchJob
from ft_assets.training.search_result import Tried

_ATTEMPTS = 3
"""Times that a trial may take its process down (settings too large for the memory do) before it counts as failed."""

_BEFORE_PRUNING = 5
"""Complete trials that the median is taken of, at least; Optuna's default."""

_SECONDS_FOR_THE_LOCK = 60
_NUMBER = "number"  # where a trial keeps the number that we gave it


class Claim:
    """A trial that this process has taken on: its `number`, and the `settings` to try."""

    def __init__(self, study: optuna.Study, trial: optuna.Trial) -> None:
        self._study, self._trial = study, trial
        self.number: int = trial.user_attrs[_NUMBER]
        self.settings: dict[str, Choice] = trial.params

    def report(self, validation: int, loss: float) -> bool:
        """Note the loss of the trial's n-th validation, counted from 1; True when it had better stop."""
        self._trial.report(loss, validation)
        return self._trial.should_prune()

    def end(self, tried: Tried) -> None:
        """Finish the trial."""
        _write_end(self._study, tried)
        _tell(self._study, self._trial.number, tried)


class SearchStudy:
    """The trials of one search, whichever process made them."""

    def __init__(self, job: SearchJob) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._job = job
        self._space = {name: _distribution(domain) for name, domain in job.search.space.items()}
        self._grid = _grid(job)
        self.planned = len(self._grid) or job.search.trials
        self._study = optuna.create_study(
            study_name=job.identity(),
            storage=optuna.storages.RDBStorage(
                f"sqlite:///{job.study}", engine_kwargs={"connect_args": {"timeout": _SECONDS_FOR_THE_LOCK}}
            ),
            load_if_exists=True,
            direction="minimize",
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=_BEFORE_PRUNING, n_warmup_steps=job.search.warmup_validations + 1
            ),
        )

    def tried(self) -> list[Tried]:
        """Finished trials by number."""
        found = (Tried.model_validate(ended) for ended in self._study.user_attrs.values())
        return sorted(found, key=lambda tried: tried.number)

    def release_abandoned(self) -> None:
        """Free the numbers of unfinished trials. Call it while no process works on the study."""
        ended = {tried.number: tried for tried in self.tried()}
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            number = trial.user_attrs.get(_NUMBER)  # None: killed before it was noted
            if number in ended:
                _tell(self._study, trial.number, ended[number])
                continue
            self._study.tell(trial.number, state=TrialState.FAIL)
            if number is not None and len(self._attempts(number)) >= _ATTEMPTS:
                reason = f"its process ended {_ATTEMPTS} times before it did (out of memory?)"
                lost = Tried(number=number, state="failed", settings=trial.params, reason=reason)
                _write_end(self._study, lost)

    def claim(self) -> Claim | None:
        """Take on the trial of the lowest number that is free; None when there is none."""
        with self._locked():
            running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            taken = {trial.user_attrs.get(_NUMBER) for trial in running}
            taken |= {tried.number for tried in self.tried()}
            number = next((number for number in range(1, self.planned + 1) if number not in taken), None)
            if number is None:
                return None
            self._study.sampler = self._sampler(number)
            trial = self._study.ask(self._space)
            trial.set_user_attr(_NUMBER, number)
            return Claim(self._study, trial)

    def importances(self) -> dict[str, float] | None:
        """Share of each setting in reaching the best quarter of complete trials; None when these are too few.

        PED-ANOVA (Watanabe et al., IJCAI 2023), which needs no more than numpy.
        """
        complete = self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < _BEFORE_PRUNING:
            return None
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
        return optuna.importance.get_param_importances(self._study, evaluator=evaluator)

    def _attempts(self, number: int) -> list[dict[str, Any]]:
        """Settings of the trials of this number that their processes left unfinished."""
        failed = self._study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
        return [trial.params for trial in failed if trial.user_attrs.get(_NUMBER) == number]

    def _given(self, number: int) -> dict[str, Any]:
        """Settings that are not drawn: an abandoned trial's, a whole grid's, and first of all the recipe's own."""
        if attempts := self._attempts(number):
            return attempts[-1]
        if self._grid:
            return self._grid[number - 1]
        own = self._job.training.settings.model_dump(include=set(self._space))
        within = all(_holds(self._job.search.space[name], value) for name, value in own.items())
        return own if number == 1 and within else {}

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        # A state carried from trial to trial would be lost with the process.
        seed = hashlib.sha256(f"{self._job.search.seed} {number}".encode()).digest()
        drawn = optuna.samplers.TPESampler(
            seed=int.from_bytes(seed[:4]),
            n_startup_trials=min(10, math.ceil(self.planned / 3)),
            multivariate=True,
            constant_liar=True,  # processes that draw at a time draw apart
        )
        with warnings.catch_warnings():  # Optuna has called it experimental since 2020; tests cover it
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.PartialFixedSampler(self._given(number), drawn)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._job.work / "claim.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _write_end(study: optuna.Study, tried: Tried) -> None:
    study.set_user_attr(f"trial {tried.number}", tried.model_dump(mode="json"))


def _tell(study: optuna.Study, trial: int, tried: Tried) -> None:
    """Tell Optuna; a diverged trial is a pruned one to it, which makes it draw elsewhere."""
    if tried.state == "complete":
        study.tell(trial, tried.validation_loss)
    else:
        study.tell(trial, state=TrialState.FAIL if tried.state == "failed" else TrialState.PRUNED)


def _distribution(domain: list[Choice] | Range) -> BaseDistribution:
    if isinstance(domain, list):
        return CategoricalDistribution(domain)
    if isinstance(domain.low, int) and isinstance(domain.high, int):
        return IntDistribution(domain.low, domain.high, log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def _holds(domain: list[Choice] | Range, value: Any) -> bool:
    return value in domain if isinstance(domain, list) else domain.low <= value <= domain.high


def _grid(job: SearchJob) -> list[dict[str, Choice]]:
    """Every combination of a space of lists, where the trials suffice for all of them; else nothing."""
    lists = {name: domain for name, domain in job.search.space.items() if isinstance(domain, list)}
    if len(lists) < len(job.search.space) or math.prod(map(len, lists.values())) > job.search.trials:
        return []
    return [dict(zip(lists, choices, strict=True)) for choices in itertools.product(*lists.values())]
