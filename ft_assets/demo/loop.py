"""One process that does what Dagster's daemon does: ask the sensors, ask the automation, run what they say.

The demo drives the very sensors, conditions, assets and checks that a deployment runs, tick by tick and
without waiting for the daemon's intervals. All state is in the instance and the operational database, so
a demo that is killed goes on where it was.
"""

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from ft_assets.component import model_definitions
from ft_assets.errors import BrokenEnvironment, Refused, WrongInput
from ft_assets.recipe import Recipe
from ft_assets.storage.assets import HomeResource
from ft_assets.storage.home import Home
from ft_assets.storage.records import find_record

_OPEN = [
    DagsterRunStatus.STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.QUEUED,
]
_TAG = {"ft_assets/driver": "demo"}
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def open_instance(home: Home) -> dg.DagsterInstance:
    """The Dagster instance that lives in the home folder; `make dev` opens the same one."""
    folder = home.scratch / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        shipped = Path(__file__).parents[2] / "deployment" / "local" / "dagster.yaml"
        settings.write_text(shipped.read_text() if shipped.exists() else "telemetry:\n  enabled: false\n")
    return dg.DagsterInstance.from_config(str(folder))


@contextmanager
def _partitions_read_once(instance: dg.DagsterInstance) -> Iterator[None]:
    """Within one evaluation partitions do not change, yet Dagster reads their keys from disk hundreds of times."""
    vars(instance)["get_dynamic_partitions"] = cache(instance.get_dynamic_partitions)
    try:
        yield
    finally:
        del vars(instance)["get_dynamic_partitions"]


@dataclass
class Loop:
    """Drives one model. `around_run` is entered with the assets and the partition of each run.

    `seconds` sums what the steps of each stage took; `failures` holds what gates and checks refused.
    """

    home: Home
    recipe: Recipe
    instance: dg.DagsterInstance
    around_run: Callable[[list[str], str], AbstractContextManager[None]] = lambda assets, partition: (
        nullcontext()
    )
    failures: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _cursors: dict[str, str | None] = field(default_factory=dict)
    _run_keys: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        resources = {"home": HomeResource(root=self.home.root), "pipes": dg.PipesSubprocessClient()}
        self.defs = dg.Definitions.merge(model_definitions(self.recipe), dg.Definitions(resources=resources))
        self.sensors = {
            item.name: item for item in self.defs.sensors or [] if isinstance(item, dg.SensorDefinition)
        }
        self.job = self.defs.resolve_implicit_global_asset_job_def()

    def recover(self) -> None:
        """Take up what a killed or failed demo left: cancel its open runs, repeat its failed ones."""
        for run in self.instance.get_runs(RunsFilter(tags=_TAG, statuses=_OPEN)):
            self.instance.report_run_canceled(run, message="the process that ran this was killed")
        for run in self.instance.get_runs(RunsFilter(tags=_TAG, statuses=[DagsterRunStatus.FAILURE])):
            partition = run.tags.get("dagster/partition")
            names = {key.path[-1] for key in run.asset_selection or ()}
            unmade = [
                name for name in names if not find_record(self.home, self.recipe.model, name, partition or "")
            ]
            if unmade:
                self.run(unmade, partition)

    def run_until_idle(self, skip: frozenset[str] = frozenset()) -> None:
        """Tick until nothing is asked for. Assets named in `skip` are left for later.

        Raises:
            BrokenEnvironment: a step failed for a reason that is not a gate's or a check's.
        """
        while self.tick(skip):
            pass

    def tick(self, skip: frozenset[str] = frozenset()) -> bool:
        """Ask every sensor and the automation once; run what they ask for. Whether anything ran."""
        asked = [self.ask(name, skip) for name in self.sensors]
        ran = any(asked)
        for partition, assets in self._automation(skip):
            self.run(assets, partition)
            ran = True
        return ran

    def ask(self, sensor_name: str, skip: frozenset[str] = frozenset()) -> bool:
        """Ask one sensor; add the partitions and run the runs that it asks for. Whether anything ran."""
        ran = False
        for request in self._requests(self.sensors[sensor_name]):
            assets = [key.path[-1] for key in request.asset_selection or []]
            if not skip.intersection(assets):
                self.run(assets, request.partition_key)
                ran = True
        return ran

    def run(self, assets: Iterable[str], partition: str | None = None) -> dg.ExecuteInProcessResult:
        """Materialize assets of this model, with their checks, in one run."""
        chosen = sorted(assets)
        with warnings.catch_warnings(), self.around_run(chosen, partition or ""):
            warnings.simplefilter("ignore")
            result = self.job.execute_in_process(
                instance=self.instance,
                asset_selection=[dg.AssetKey([self.recipe.model, name]) for name in chosen],
                partition_key=partition,
                tags=_TAG,
                run_config=_QUIET,
                raise_on_error=False,
            )
        self._note_seconds(result.run_id)
        if not result.success:
            self._note_failures(result)
        return result

    def _requests(self, sensor: dg.SensorDefinition) -> list[dg.RunRequest]:
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self._cursors.get(sensor.name),
            resources={"home": HomeResource(root=self.home.root)},
            definitions=self.defs,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                answer: Any = sensor(context)
            except dg.Failure as failure:
                raise WrongInput(f"{sensor.name}: {failure.description}") from failure
        if isinstance(answer, dg.RunRequest):
            return self._new([answer])
        if not isinstance(answer, dg.SensorResult):
            return []
        for request in answer.dynamic_partitions_requests or []:
            assert isinstance(request, dg.AddDynamicPartitionsRequest)
            self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        self._cursors[sensor.name] = answer.cursor or self._cursors.get(sensor.name)
        return self._new(answer.run_requests or [])

    def _new(self, requests: Iterable[dg.RunRequest]) -> list[dg.RunRequest]:
        """Like the daemon, honour a run key once."""
        new = [
            request
            for request in requests
            if request.run_key is None or request.run_key not in self._run_keys
        ]
        self._run_keys.update(request.run_key for request in new if request.run_key)
        return new

    def _automation(self, skip: frozenset[str]) -> list[tuple[str, list[str]]]:
        """(partition, assets) pairs that the automation conditions ask for, oldest partition first."""
        unmade = self._unmade()
        if not unmade:
            return []
        with warnings.catch_warnings(), _partitions_read_once(self.instance):
            warnings.simplefilter("ignore")
            evaluated = dg.evaluate_automation_conditions(
                self.defs, self.instance, asset_selection=dg.AssetSelection.assets(*unmade)
            )
        asked: dict[str, list[str]] = {}
        for result in evaluated.results:
            if not isinstance(result.key, dg.AssetKey):
                continue
            for partition in evaluated.get_requested_partitions(result.key):
                if partition is not None and result.key.path[-1] not in skip:
                    asked.setdefault(partition, []).append(result.key.path[-1])
        return sorted(asked.items())

    def _unmade(self) -> list[dg.AssetKey]:
        """Assets that some partition lacks: asking about others takes a second and finds nothing."""
        found = []
        for spec in self.defs.resolve_all_asset_specs():
            if isinstance(spec.partitions_def, dg.DynamicPartitionsDefinition) and spec.automation_condition:
                keys = self.instance.get_dynamic_partitions(spec.partitions_def.name or "")
                if any(
                    find_record(self.home, self.recipe.model, spec.key.path[-1], key) is None for key in keys
                ):
                    found.append(spec.key)
        return found

    def _note_seconds(self, run_id: str) -> None:
        stages = {
            spec.key.path[-1]: spec.tags.get("stage", "other") for spec in self.defs.resolve_all_asset_specs()
        }
        for step in self.instance.get_run_step_stats(run_id):
            asset = step.step_key.removeprefix(f"{self.recipe.model}__")
            if step.start_time and step.end_time:
                self.seconds[stages.get(asset, "checks")] += step.end_time - step.start_time

    def _note_failures(self, result: dg.ExecuteInProcessResult) -> None:
        """Keep the reasons of refusals and failed checks; stop for anything else."""
        for event in result.filter_events(lambda event: event.is_step_failure):
            data = event.step_failure_data
            failure, error = data.user_failure_data, data.error
            words = failure.description if failure else error.message if error else ""
            self.failures.append(f"{event.step_key}: {words}".strip())
            refused = failure and failure.metadata.get("exit_code") == dg.MetadataValue.int(Refused.exit_code)
            if not refused and "CheckFailed" not in str(error):
                raise BrokenEnvironment(
                    f"step {event.step_key} failed: {words} (whole log: run {result.run_id})"
                )
