"""The manifests of `deployment/` as Python objects, with and without kubectl."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOYMENT = ROOT / "deployment"
BASE = DEPLOYMENT / "base"
MADE_BY_HAND = ("instance.secret", "api.keys")
Manifest = dict[str, Any]


def copy_with_secrets(target: Path) -> Path:
    """A copy of `deployment/` that has the files a person makes by hand."""
    shutil.copytree(DEPLOYMENT, target)
    (target / "base" / "secrets.env").write_text((BASE / "secrets.env.example").read_text())
    for name in MADE_BY_HAND:
        (target / "base" / name).write_text("0" * 64)
    return target


def assemble_base() -> list[Manifest]:
    """What `kubectl kustomize deployment/base` gives, but for namespace and common labels."""
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    manifests = [item for name in kustomization["resources"] for item in read_all(BASE / name)]
    for generator in kustomization["configMapGenerator"]:
        manifests.append(_generated(generator, "ConfigMap"))
    for generator in kustomization["secretGenerator"]:
        manifests.append(_generated(generator, "Secret"))
    return manifests


def read_all(path: Path) -> list[Manifest]:
    """Every YAML document of a file."""
    return [item for item in yaml.safe_load_all(path.read_text()) if item]


def build(folder: Path) -> list[Manifest]:
    """What kubectl makes of a kustomization."""
    built = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return [item for item in yaml.safe_load_all(built.stdout) if item]


def read_env(path: Path) -> dict[str, str]:
    """The settings of an `.env` file, as kustomize reads them."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def by_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Manifests of one kind, by name."""
    return {item["metadata"]["name"]: item for item in manifests if item["kind"] == kind}


def workloads(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """(name, pod template) of everything that runs pods."""
    for item in manifests:
        if item["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield item["metadata"]["name"], item["spec"]["template"]


def containers(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """(workload, container) pairs, init containers included."""
    for name, template in workloads(manifests):
        spec = template["spec"]
        for container in [*spec["containers"], *spec.get("initContainers", [])]:
            yield name, container


def references(spec: Manifest) -> list[tuple[str, str, str | None]]:
    """(kind, name, key) of each ConfigMap, Secret and claim that a pod needs."""
    found: list[tuple[str, str, str | None]] = []
    for volume in spec["volumes"]:
        if "configMap" in volume:
            found.append(("ConfigMap", volume["configMap"]["name"], None))
        if "secret" in volume:
            found.append(("Secret", volume["secret"]["secretName"], None))
        if "persistentVolumeClaim" in volume:
            found.append(("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], None))
    for container in spec["containers"]:
        for source in container.get("envFrom", []):
            kind = "ConfigMap" if "configMapRef" in source else "Secret"
            found.append((kind, next(iter(source.values()))["name"], None))
        for variable in container.get("env", []):
            for field, reference in variable.get("valueFrom", {}).items():
                kind = "ConfigMap" if field == "configMapKeyRef" else "Secret"
                found.append((kind, reference["name"], reference["key"]))
    return found


def _generated(generator: Manifest, kind: str) -> Manifest:
    data: dict[str, str] = {}
    for name in generator.get("envs", []):
        data |= read_env(_present(BASE / name))
    for name in generator.get("files", []):
        data[Path(name).name] = _text(BASE / name)
    manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": generator["name"]}}
    return manifest | {"stringData" if kind == "Secret" else "data": data}


def _present(path: Path) -> Path:
    return path if path.name != "secrets.env" else path.with_name("secrets.env.example")


def _text(path: Path) -> str:
    return "0" * 64 if path.name in MADE_BY_HAND else path.read_text()
