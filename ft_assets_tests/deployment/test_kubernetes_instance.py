"""The instance on Kubernetes: its dagster.yaml is read by Dagster, and dagster-k8s builds pods from it.

Only the cluster is missing: settings, run launcher and Job objects are made by the libraries themselves.
"""

from pathlib import Path
from typing import Any

import kubernetes
import kubernetes_validate
import pytest
import yaml
from dagster import DagsterRun
from dagster._core.errors import DagsterInvalidConfigError
from dagster._core.instance.config import dagster_instance_config
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_k8s import K8sRunLauncher
from dagster_k8s.container_context import K8sContainerContext
from dagster_k8s.job import UserDefinedDagsterK8sConfig, construct_dagster_k8s_job

from ft_assets_tests.deployment.tree import BASE, DEPLOYMENT, Manifest, by_kind, read_env, references

NO_CLUSTER = """
apiVersion: v1
kind: Config
current-context: none
clusters: [{name: none, cluster: {server: "http://127.0.0.1:9"}}]
contexts: [{name: none, context: {cluster: none, user: none}}]
users: [{name: none, user: {}}]
"""
STAGE_FILES = [BASE / "config" / "10-cpu.yaml", *sorted(DEPLOYMENT.glob("overlays/*/20-*.yaml"))]
STAGES = [
    pytest.param(settings, id=f"{path.stem}-{stage}")
    for path in STAGE_FILES
    for stage, settings in yaml.safe_load(path.read_text()).items()
]


@pytest.fixture
def settings() -> dict[str, Any]:
    return yaml.safe_load((BASE / "config" / "dagster.yaml").read_text())


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the pods' environment holds."""
    found = read_env(BASE / "config" / "settings.env") | read_env(BASE / "secrets.env.example")
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def launcher(tmp_path: Path, settings: dict[str, Any], environment: dict[str, str]) -> K8sRunLauncher:
    """The run launcher that Dagster makes of our dagster.yaml; only its cluster is another one."""
    (tmp_path / "kubeconfig").write_text(NO_CLUSTER)
    cluster = {"load_incluster_config": False, "kubeconfig_file": str(tmp_path / "kubeconfig")}
    settings["run_launcher"]["config"] |= cluster
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    launcher = InstanceRef.from_dir(str(tmp_path)).run_launcher
    assert isinstance(launcher, K8sRunLauncher)
    return launcher


def test_dagster_reads_every_setting(environment: dict[str, str]) -> None:
    values, _ = dagster_instance_config(str(BASE / "config"))
    database = values["storage"]["postgres"]["postgres_db"]
    taken = [value["env"] for value in database.values() if isinstance(value, dict) and value]
    assert taken and set(taken) <= set(environment)
    assert values["concurrency"]["pools"] == {"granularity": "run", "default_limit": 1}
    assert values["run_monitoring"]["free_slots_after_run_end_seconds"] > 0
    assert values["run_retries"]["retry_on_asset_or_op_failure"] is False
    assert values["telemetry"]["enabled"] is False


def test_dagster_refuses_a_misspelt_setting(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings["run_monitoring"]["poll_seconds"] = 1
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(DagsterInvalidConfigError):
        dagster_instance_config(str(tmp_path))


def test_workspace_names_the_code_location_service(base: list[Manifest]) -> None:
    path = str(BASE / "config" / "workspace.yaml")
    (origin,) = WorkspaceFileTarget([path]).create_origins()
    assert isinstance(origin, GrpcServerCodeLocationOrigin)
    assert origin.location_name == "ft_assets"
    ports = by_kind(base, "Service")[origin.host]["spec"]["ports"]
    assert [port["port"] for port in ports] == [origin.port]


def test_run_pods_are_valid_and_everything_that_they_name_exists(
    launcher: K8sRunLauncher, base: list[Manifest]
) -> None:
    job = _job(launcher, {})
    kubernetes_validate.validate(job, "1.32", strict=True)
    spec = job["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] in by_kind(base, "ServiceAccount")
    for kind, name, _ in references(spec):
        assert name in by_kind(base, kind), f"{kind} {name}"
    for name in (launcher.instance_config_map, *launcher.env_config_maps):
        assert name in by_kind(base, "ConfigMap")
    assert launcher.job_namespace in by_kind(base, "Namespace")


def test_run_pods_obey_the_rules_of_the_namespace(launcher: K8sRunLauncher) -> None:
    spec = _job(launcher, {})["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} <= set(container["resources"]["limits"])


def test_run_pods_may_reach_what_they_need(launcher: K8sRunLauncher, base: list[Manifest]) -> None:
    labels = _job(launcher, {})["spec"]["template"]["metadata"]["labels"]
    chosen = {
        name
        for name, policy in by_kind(base, "NetworkPolicy").items()
        if policy["spec"]["podSelector"].get("matchLabels", {}).items() <= labels.items()
    }
    assert {"allow-dns", "database-clients", "kubernetes-api-clients", "internet-clients"} <= chosen


def test_run_pods_mount_what_the_settings_point_to(
    launcher: K8sRunLauncher, environment: dict[str, str]
) -> None:
    (container,) = _job(launcher, {})["spec"]["template"]["spec"]["containers"]
    mounts = [Path(mount["mountPath"]) for mount in container["volumeMounts"]]
    for name in ("FT_ASSETS_HOME", "FT_ASSETS_SECRET_FILE", "HF_HOME", "MPLCONFIGDIR"):
        assert any(Path(environment[name]).is_relative_to(mount) for mount in mounts), name
    assert Path("/etc/ft-assets/stages") in mounts


@pytest.mark.parametrize("stage", STAGES)
def test_step_pods_have_the_resources_of_their_stage(launcher: K8sRunLauncher, stage: dict[str, Any]) -> None:
    job = _job(launcher, stage)
    kubernetes_validate.validate(job, "1.32", strict=True)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == stage["container_config"]["resources"]
    # A stage must not lose what the launcher gives to every pod.
    plain = _job(launcher, {})["spec"]["template"]["spec"]
    assert container["volumeMounts"] == plain["containers"][0]["volumeMounts"]
    assert container["securityContext"] == plain["containers"][0]["securityContext"]


def _job(launcher: K8sRunLauncher, stage: dict[str, Any]) -> Manifest:
    """The Job that dagster-k8s creates for a step of a stage, or for a run where the stage is empty."""
    run = DagsterRun(job_name="__ASSET_JOB")
    context = K8sContainerContext.create_for_run(run, launcher, include_run_tags=False)
    own = UserDefinedDagsterK8sConfig.from_dict(stage)
    context = context.merge(K8sContainerContext(run_k8s_config=own))
    job = construct_dagster_k8s_job(
        job_config=context.get_k8s_job_config("ft-assets-trainer:0.1.0", launcher),
        args=["dagster", "api", "execute_step", "…"],
        job_name="dagster-step-0123",
        component="step_worker",
        user_defined_k8s_config=context.run_k8s_config,
    )
    manifest: Any = kubernetes.client.ApiClient().sanitize_for_serialization(job)
    return manifest
