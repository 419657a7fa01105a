"""Every manifest is valid by Kubernetes' own schemas, and everything that it names exists."""

import re
import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from ft_assets_tests.deployment.tree import (
    BASE,
    DEPLOYMENT,
    ROOT,
    Manifest,
    assemble_base,
    build,
    by_kind,
    containers,
    references,
    workloads,
)

Built = tuple[str, list[Manifest]]
_UNUSED = [("FT_ASSETS_SECRET_FILE", "daemon"), ("FT_ASSETS_SECRET_FILE", "webserver")]
VERSIONS = ("1.29", "1.32", kubernetes_validate.latest_version())


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid_by_the_strict_schema(built: Built, version: str) -> None:
    for manifest in built[1]:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_schema_check_finds_a_misspelt_field(base: list[Manifest]) -> None:
    broken = yaml.safe_load(yaml.safe_dump(by_kind(base, "Deployment")["service"]))
    broken["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.32", strict=True)


def test_kubectl_builds_what_the_tests_assemble(deployment_copy: Path) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    theirs = {(item["kind"], item["metadata"]["name"]) for item in build(deployment_copy / "base")}
    assert theirs == {(item["kind"], item["metadata"]["name"]) for item in assemble_base()}


def test_everything_a_pod_names_exists(built: Built) -> None:
    manifests = built[1]
    for workload, template in workloads(manifests):
        spec = template["spec"]
        assert spec["serviceAccountName"] in by_kind(manifests, "ServiceAccount"), workload
        for kind, name, key in references(spec):
            found = by_kind(manifests, kind)
            assert name in found, f"{workload} names {kind} {name}, which does not exist"
            data = found[name].get("data") or found[name].get("stringData") or {}
            # Not there until a person writes it: config/serving.env says why.
            assert key is None or key in data or key == "FT_ASSETS_BASE", f"{workload}: no {key} in {name}"


def test_every_mount_has_its_volume_and_every_volume_is_mounted(built: Built) -> None:
    for item in built[1]:
        if item["kind"] not in ("Deployment", "StatefulSet"):
            continue
        spec = item["spec"]["template"]["spec"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        volumes |= {claim["metadata"]["name"] for claim in item["spec"].get("volumeClaimTemplates", [])}
        mounted = {mount["name"] for container in spec["containers"] for mount in container["volumeMounts"]}
        assert mounted == volumes, item["metadata"]["name"]


def test_mounted_files_are_in_their_config_maps(built: Built) -> None:
    maps = by_kind(built[1], "ConfigMap")
    for workload, template in workloads(built[1]):
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        for container in template["spec"]["containers"]:
            for mount in container["volumeMounts"]:
                if "subPath" in mount:
                    name = volumes[mount["name"]]["configMap"]["name"]
                    assert mount["subPath"] in maps[name]["data"], f"{workload}: {mount}"


def test_selectors_choose_their_own_pods(built: Built) -> None:
    templates = dict(workloads(built[1]))
    for item in built[1]:
        name = item["metadata"]["name"]
        if item["kind"] in ("Deployment", "StatefulSet"):
            assert item["spec"]["selector"]["matchLabels"].items() <= _labels(templates[name]).items()
        elif item["kind"] == "Service":
            assert item["spec"]["selector"].items() <= _labels(templates[name]).items()
            assert _chosen(templates, item["spec"]["selector"]) == [name]
        elif item["kind"] == "PodDisruptionBudget":
            assert _chosen(templates, item["spec"]["selector"]["matchLabels"]) == [name]


def test_services_lead_to_ports_that_a_container_opens(built: Built) -> None:
    templates = dict(workloads(built[1]))
    for name, service in by_kind(built[1], "Service").items():
        opened = {port["name"] for c in templates[name]["spec"]["containers"] for port in c["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= opened, name


def test_probes_ask_ports_that_the_container_opens(built: Built) -> None:
    for workload, container in containers(built[1]):
        names = {port["name"] for port in container.get("ports", [])}
        numbers = {port["containerPort"] for port in container.get("ports", [])}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = container.get(probe, {})
            port = asked.get("httpGet", asked.get("grpc", {})).get("port")
            assert port is None or port in names | numbers, f"{workload}: {probe}"


def test_network_policies_open_exactly_the_ports_of_services(base: list[Manifest]) -> None:
    policies = by_kind(base, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    templates = dict(workloads(base))
    for name in ("postgres", "code-location", "service"):
        opened = {port["containerPort"] for c in templates[name]["spec"]["containers"] for port in c["ports"]}
        (rule,) = policies[name]["spec"]["ingress"]
        assert {port["port"] for port in rule["ports"]} == opened
    # Dagster's UI has no login: nothing in the cluster may reach it.
    assert "webserver" not in policies


def test_network_labels_are_ones_that_a_policy_chooses(built: Built) -> None:
    known = {
        label
        for policy in by_kind(built[1], "NetworkPolicy").values()
        for label in policy["spec"]["podSelector"].get("matchLabels", {}).items()
    }
    for workload, template in workloads(built[1]):
        used = {(key, value) for key, value in _labels(template).items() if key.startswith("ft-assets/")}
        assert used <= known, workload


def test_whoever_uses_the_database_or_the_code_location_may_reach_it(base: list[Manifest]) -> None:
    for workload, template in workloads(base):
        labels = _labels(template)
        text = str(template)
        if workload != "postgres" and "ft-assets-secrets" in text:
            assert labels["ft-assets/database"] == "client", workload
        if "workspace.yaml" in text:
            assert labels["ft-assets/code-location"] == "client", workload


def test_no_container_is_privileged_unlimited_or_unprobed(built: Built) -> None:
    for workload, template in workloads(built[1]):
        pod = template["spec"]["securityContext"]
        assert pod["runAsNonRoot"] is True, workload
        assert pod["runAsUser"] > 0, workload
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, workload
    for workload, container in containers(built[1]):
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, workload
        assert security["readOnlyRootFilesystem"] is True, workload
        assert security["capabilities"] == {"drop": ["ALL"]}, workload
        assert {"cpu", "memory"} <= set(container["resources"]["requests"]), workload
        assert {"cpu", "memory"} <= set(container["resources"]["limits"]), workload
        assert "livenessProbe" in container, workload
        assert "readinessProbe" in container or not container.get("ports"), workload


def test_only_what_launches_pods_may_speak_to_kubernetes(base: list[Manifest]) -> None:
    bindings = by_kind(base, "RoleBinding").values()
    bound = {subject["name"] for binding in bindings for subject in binding["subjects"]}
    assert bound == {"dagster"}
    for workload, template in workloads(base):
        spec = template["spec"]
        account = by_kind(base, "ServiceAccount")[spec["serviceAccountName"]]
        token = spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True))
        assert token == (workload in ("daemon", "webserver", "code-location")), workload
        assert (spec["serviceAccountName"] == "dagster") == (workload in ("daemon", "webserver")), workload


def test_images_are_pinned_to_the_version_of_the_package(built: Built) -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert version
    images = {container["image"] for _, container in containers(built[1])}
    images.add(by_kind(built[1], "ConfigMap")["ft-assets-settings"]["data"]["DAGSTER_CURRENT_IMAGE"])
    ours = {image for image in images if image.startswith("ft-assets-")}
    assert ours == {f"ft-assets-{target}:{version[1]}" for target in ("code", "trainer", "service")}
    assert all(re.search(r":\d", image) for image in images)


def test_settings_are_ones_that_the_code_reads(built: Built) -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "ft_assets").rglob("*.py"))
    read = set(re.findall(r"FT_ASSETS_[A-Z_]+", source))
    written = set(re.findall(r"FT_ASSETS_[A-Z_]+", yaml.safe_dump_all(built[1])))
    assert written <= read


def test_every_path_in_the_settings_is_on_a_mounted_volume(built: Built) -> None:
    shared = by_kind(built[1], "ConfigMap")["ft-assets-settings"]["data"]
    for workload, container in containers(built[1]):
        settings = {item["name"]: item.get("value", "") for item in container.get("env", [])}
        if {"configMapRef": {"name": "ft-assets-settings"}} in container.get("envFrom", []):
            settings |= shared
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        for name, value in settings.items():
            # The daemon and the webserver sign nothing and identify no one, so they get no instance secret.
            if value.startswith("/") and (name, workload) not in _UNUSED:
                assert any(Path(value).is_relative_to(mount) for mount in mounts), f"{workload}: {name}"


def test_no_secret_is_committed() -> None:
    ignored = (DEPLOYMENT / ".gitignore").read_text().split()
    generators = yaml.safe_load((BASE / "kustomization.yaml").read_text())["secretGenerator"]
    files = [Path(name).name for item in generators for name in item.get("envs", []) + item.get("files", [])]
    assert set(files) <= set(ignored)
    assert "write-a-password-here" in (BASE / "secrets.env.example").read_text()


def test_gpu_overlay_gives_gpus_to_training_evaluation_and_service_only(built: Built) -> None:
    name, manifests = built
    stages = _stages(manifests)
    with_gpu = {
        stage for stage, settings in stages.items() if "nvidia.com/gpu" in str(settings["container_config"])
    }
    served = "nvidia.com/gpu" in str(by_kind(manifests, "Deployment")["service"])
    assert with_gpu == ({"training", "evaluation"} if name == "gpu" else set())
    assert served == (name == "gpu")


def _stages(manifests: list[Manifest]) -> dict[str, Any]:
    files = by_kind(manifests, "ConfigMap")["ft-assets-stages"]["data"]
    return {stage: value for name in sorted(files) for stage, value in yaml.safe_load(files[name]).items()}


def _labels(template: Manifest) -> dict[str, str]:
    return template["metadata"]["labels"]


def _chosen(templates: dict[str, Manifest], selector: dict[str, str]) -> list[str]:
    return [name for name, item in templates.items() if selector.items() <= _labels(item).items()]
