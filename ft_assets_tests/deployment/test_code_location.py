"""The code location of the cluster: our definitions, with pods sized by stage."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import dagster as dg
import pytest
import yaml

from ft_assets_tests.deployment.tree import BASE, DEPLOYMENT, ROOT, Manifest, by_kind

FILE = DEPLOYMENT / "code_location.py"
CPU = yaml.safe_load((BASE / "config" / "10-cpu.yaml").read_text())


@pytest.fixture(scope="module")
def location() -> ModuleType:
    spec = importlib.util.spec_from_file_location("code_location", FILE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dg.asset(key=["model", "adapter"], tags={"stage": "training"})
def adapter() -> None: ...


@dg.multi_asset(
    name="splits", specs=[dg.AssetSpec(["model", name], tags={"stage": "splitting"}) for name in ("a", "b")]
)
def splits() -> Iterator[dg.MaterializeResult]:
    yield from ()


@dg.asset(key=["model", "release"], tags={"stage": "registry"})
def release() -> None: ...


def test_steps_get_the_settings_of_their_stage(location: ModuleType) -> None:
    outside = dg.AssetSpec(["model", "interactions"], tags={"stage": "training"})
    definitions = dg.Definitions(assets=[adapter, splits, release, outside])
    assert location.settings_by_step(definitions, CPU) == {
        "model__adapter": CPU["training"],
        "splits": CPU["splitting"],
    }


def test_a_later_file_replaces_a_stage_whole(location: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "10-cpu.yaml").write_text((BASE / "config" / "10-cpu.yaml").read_text())
    gpu = DEPLOYMENT / "overlays" / "gpu" / "20-gpu.yaml"
    (tmp_path / "20-gpu.yaml").write_text(gpu.read_text())
    assert location.read_stages(tmp_path) == CPU | yaml.safe_load(gpu.read_text())


def test_no_settings_at_all_is_an_error(location: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="ft-assets-stages"):
        location.read_stages(tmp_path)


def test_stage_files_name_stages_that_exist() -> None:
    for file in [BASE / "config" / "10-cpu.yaml", *DEPLOYMENT.glob("overlays/*/20-*.yaml")]:
        for stage in yaml.safe_load(file.read_text()):
            assert (ROOT / "ft_assets" / stage).is_dir(), f"{file}: {stage}"


def test_the_cluster_starts_this_file(base: list[Manifest]) -> None:
    (container,) = by_kind(base, "Deployment")["code-location"]["spec"]["template"]["spec"]["containers"]
    assert f"/app/{FILE.relative_to(ROOT)}" in container["args"]


def test_our_definitions_load_with_the_kubernetes_executor_and_without_torch(tmp_path: Path) -> None:
    (tmp_path / "10-cpu.yaml").write_text((BASE / "config" / "10-cpu.yaml").read_text())
    code = (
        "import sys, runpy\n"
        f"definitions = runpy.run_path({str(FILE)!r})['kubernetes']()\n"
        "repository = definitions.get_repository_def()\n"
        "assert definitions.executor.name == 'k8s', definitions.executor\n"
        "assert not {'torch', 'transformers', 'peft', 'evidently', 'bentoml'} & set(sys.modules)\n"
        "print(sorted(job.name for job in repository.get_all_jobs()))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={"PATH": "", "STAGES_FOLDER": str(tmp_path)},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert "__ASSET_JOB" in run.stdout
