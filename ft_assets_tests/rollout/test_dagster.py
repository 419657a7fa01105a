"""The Dagster layer of registry and rollout, on a real instance."""

import errno
import json
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.test_utils import create_run_for_test

from ft_assets.recipe import Recipe
from ft_assets.registry.assets import build_assets as build_registry
from ft_assets.registry.ledger import entries
from ft_assets.registry.releases import release
from ft_assets.registry.rollback import rollback
from ft_assets.rollout.assets import build_assets as build_rollout
from ft_assets.rollout.controller import step
from ft_assets.rollout.decisions import decide
from ft_assets.rollout.report import canary_report, to_markdown
from ft_assets.rollout.rollout import open_rollout
from ft_assets.rollout.sensors import build_sensors
from ft_assets.rollout.start import start
from ft_assets.storage.assets import HomeResource, candidate_partitions
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of, find_record
from ft_assets.storage.releases import list_releases
from ft_assets_tests.registry.attempts import passed
from ft_assets_tests.rollout.test_controller import planned
from ft_assets_tests.rollout.traffic import both, canary, thumbs


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as ephemeral:
        yield ephemeral


def assets_of(recipe: Recipe) -> list[dg.AssetSpec | dg.AssetsDefinition]:
    """Registry and rollout, and what they hang on."""
    upstream = dg.AssetSpec(
        ["tiny", "eval_report"], partitions_def=candidate_partitions("tiny"), group_name="tiny"
    )
    return [upstream, *build_registry(recipe), *build_rollout(recipe)]


def materialize(
    instance: dg.DagsterInstance,
    home: Home,
    recipe: Recipe,
    asset: str,
    key: str,
    run_config: dict | None = None,
) -> dg.ExecuteInProcessResult:
    """One asset by hand, as from the UI."""
    instance.add_dynamic_partitions(f"{recipe.model}_candidates", [key])
    return dg.materialize(
        assets_of(recipe),
        selection=[dg.AssetKey(["tiny", asset])],
        partition_key=key,
        instance=instance,
        resources={"home": HomeResource(root=home.root)},
        raise_on_error=False,
        run_config=run_config,
    )


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data
    assert data.user_failure_data is not None
    return data.user_failure_data.description or ""


def tick(instance: dg.DagsterInstance, home: Home, recipe: Recipe) -> dg.SensorResult:
    (sensor,) = build_sensors(recipe)
    context = dg.build_sensor_context(instance=instance, resources={"home": HomeResource(root=home.root)})
    result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


@pytest.mark.parametrize("verdict", ["fail", "inconclusive"])
def test_hand_materialized_release_of_a_candidate_that_did_not_pass_is_refused(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance, verdict: str
) -> None:
    candidate = passed(home, recipe, "one", verdict=verdict, reasons=["chrF lost 9 points"])
    result = materialize(instance, home, recipe, "release", candidate.key)
    assert not result.success
    assert f"is {verdict}: chrF lost 9 points" in failure_of(result)
    assert list_releases(home) == []
    assert find_record(home, "tiny", "release", candidate.key) is None


def test_hand_materialized_deployment_of_an_unreleased_candidate_is_refused(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance
) -> None:
    candidate = passed(home, recipe, "one")
    result = materialize(instance, home, recipe, "deployment", candidate.key)
    assert "never released" in failure_of(result)


def test_release_to_report_through_the_assets_and_the_sensor(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance
) -> None:
    recipe = planned(recipe)
    candidate = passed(home, recipe, "one")
    assert materialize(instance, home, recipe, "release", candidate.key).success
    _, folder = artifact_of(home, "tiny", "release", candidate.key)
    assert json.loads((folder / "release.json").read_text())["candidate"] == candidate.key
    assert "Held-out scores" in (folder / "card.md").read_text()
    assert materialize(instance, home, recipe, "deployment", candidate.key).success
    assert tick(instance, home, recipe).run_requests == []
    early = materialize(instance, home, recipe, "canary_report", candidate.key)
    assert "still running" in failure_of(early)

    rollout = open_rollout(home, "tiny")
    assert rollout is not None
    both(home, rollout, True, False, 20)
    (request,) = (
        tick(instance, home, recipe).run_requests or []
    )  # the early failure does not stand in its way
    assert request.partition_key == candidate.key
    assert request.asset_selection == [dg.AssetKey(["tiny", "canary_report"])]
    assert materialize(instance, home, recipe, "canary_report", candidate.key).success
    assert tick(instance, home, recipe).run_requests == []
    _, folder = artifact_of(home, "tiny", "canary_report", candidate.key)
    report = json.loads((folder / "canary.json").read_text())
    assert report["state"] == "promoted"
    assert report["requests"] == {rollout.challenger: 20, "base": 20}
    assert [step["action"] for step in report["steps"]] == ["canary", "promote"]
    assert report["figures"]["interval"]["low"] > 0
    assert rollout.challenger in (folder / "canary.md").read_text()


def test_report_is_not_asked_for_again_while_its_run_is_open_or_failed(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance
) -> None:
    recipe = planned(recipe)
    candidate = passed(home, recipe, "one")
    for asset in ("release", "deployment"):
        assert materialize(instance, home, recipe, asset, candidate.key).success
    rollback(home, "tiny", None, "ada", "stop")
    assert len(tick(instance, home, recipe).run_requests or []) == 1
    for status in (DagsterRunStatus.STARTED, DagsterRunStatus.FAILURE):
        run = create_run_for_test(
            instance,
            status=status,
            tags={"dagster/partition": candidate.key},
            asset_selection=frozenset([dg.AssetKey(["tiny", "canary_report"])]),
        )
        assert tick(instance, home, recipe).run_requests == []
        instance.delete_run(run.run_id)
    create_run_for_test(
        instance,
        status=DagsterRunStatus.CANCELED,
        tags={"dagster/partition": candidate.key},
        asset_selection=frozenset([dg.AssetKey(["tiny", "canary_report"])]),
    )
    assert len(tick(instance, home, recipe).run_requests or []) == 1


def test_report_of_a_canary_that_a_person_ended_before_any_look(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance
) -> None:
    rollout = canary(home, recipe)
    thumbs(home, rollout, rollout.challenger, [True])
    rollback(home, "tiny", None, "ada", "answers in French")
    report = canary_report(home, "tiny", rollout.candidate)
    assert (report["state"], report["verdict"], report["ended_by"]) == (
        "rolled_back",
        "answers in French",
        "ada",
    )
    assert "Not both arms were judged." in to_markdown(report)


def test_each_canary_of_a_candidate_gets_its_report(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance
) -> None:
    recipe = planned(recipe)
    rollout = canary(home, recipe)
    decide(home, "tiny", "abort", "ada", "a wrong hour")
    assert len(tick(instance, home, recipe).run_requests or []) == 1
    assert materialize(instance, home, recipe, "canary_report", rollout.candidate).success
    assert tick(instance, home, recipe).run_requests == []
    again = start(home, "tiny", rollout.candidate, by="ada")
    both(home, again, True, False, 20)
    assert tick(instance, home, recipe).run_requests != [], "it is promoted, and its report is asked for"
    assert materialize(instance, home, recipe, "canary_report", rollout.candidate).success
    _, folder = artifact_of(home, "tiny", "canary_report", rollout.candidate)
    assert json.loads((folder / "canary.json").read_text())["state"] == "promoted"
    assert tick(instance, home, recipe).run_requests == []


def test_figures_of_a_report_are_those_of_the_end(home: Home, recipe: Recipe) -> None:
    rollout = canary(home, planned(recipe))
    both(home, rollout, True, True, 3)
    step(home, "tiny")
    both(home, rollout, False, True, 4)  # and a person ended it before the next look
    rollback(home, "tiny", None, "ada", "bad answers")
    report = canary_report(home, "tiny", rollout.candidate)
    assert report["figures"]["challenger"]["requests"] == report["requests"][rollout.challenger] == 7


@pytest.mark.parametrize("decision", ["start", "approve"])
def test_a_run_that_failed_after_its_move_moves_nothing_when_it_is_retried(
    home: Home,
    recipe: Recipe,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    decision: str,
) -> None:
    recipe = planned(recipe, steps=[0.2, 0.4, 0.6])
    candidate = passed(home, recipe, "one")
    release(home, "tiny", candidate.key)
    config = {"decision": decision, "by": "ada", "reason": "seen enough"}
    if decision == "approve":
        start(home, "tiny", candidate.key, by="ada")
    job = deployment_job(recipe)
    run_config = {"ops": {"tiny__deployment": {"config": config}}}

    def run(**retried: str) -> str:
        made = instance.create_run_for_job(
            job,
            run_config=run_config,
            tags={"dagster/partition": candidate.key},
            **retried,  # type: ignore[arg-type]
        )
        execute_run(InMemoryJob(job), made, instance)
        return made.run_id

    instance.add_dynamic_partitions("tiny_candidates", [candidate.key])
    with monkeypatch.context() as full:
        full.setattr("ft_assets.rollout.assets._write_start", fail_for_space)
        first = run()
    moved = [(entry.action, entry.weight) for entry in entries(home, "tiny")]
    assert entries(home, "tiny")[-1].details["run"] == first
    if decision == "start":
        decide(home, "tiny", "abort", "ada", "it harms")
        moved.append(("abort", 0.0))
    again = run(root_run_id=first, parent_run_id=first)
    assert instance.get_run_by_id(again).status == DagsterRunStatus.SUCCESS  # type: ignore[union-attr]
    assert [(entry.action, entry.weight) for entry in entries(home, "tiny")] == moved


def fail_for_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def deployment_job(recipe: Recipe) -> dg.JobDefinition:
    """`deployment` alone, as a job that can be run again."""
    return dg.Definitions(
        executor=dg.in_process_executor,
        assets=assets_of(recipe),
        jobs=[dg.define_asset_job("deploy", selection=[dg.AssetKey(["tiny", "deployment"])])],
        resources={"home": HomeResource(root=Home().root)},
    ).resolve_job_def("deploy")


def test_sensor_without_a_rollout_says_so(home: Home, recipe: Recipe, instance: dg.DagsterInstance) -> None:
    reason = tick(instance, home, recipe).skip_reason
    assert reason is not None
    assert "no canary" in str(reason.skip_message if isinstance(reason, dg.SkipReason) else reason)


def test_person_decides_by_the_config_of_the_deployment(
    home: Home, recipe: Recipe, instance: dg.DagsterInstance
) -> None:
    recipe = planned(recipe)
    rollout = canary(home, recipe)

    def decide(**config: str) -> dg.ExecuteInProcessResult:
        run_config = {"ops": {"tiny__deployment": {"config": config}}}
        return materialize(instance, home, recipe, "deployment", rollout.candidate, run_config)

    assert decide(decision="pause", by="ada", reason="a holiday").success
    assert open_rollout(home, "tiny").state == "paused"  # type: ignore[union-attr]
    assert decide(decision="start").success  # what automation asks for leaves it paused
    assert open_rollout(home, "tiny").state == "paused"  # type: ignore[union-attr]
    assert "none of start, approve" in failure_of(decide(decision="promote"))
    assert "who makes it and why" in failure_of(decide(decision="abort", by="ada"))
    assert decide(decision="abort", by="ada", reason="wrong data").success
    assert [(entry.action, entry.by) for entry in entries(home, "tiny")][1:] == [
        ("pause", "ada"),
        ("abort", "ada"),
    ]
