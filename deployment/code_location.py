"""The code location on Kubernetes: the same definitions, each step in a pod with the resources of its stage.

Loaded by `dagster api grpc -f deployment/code_location.py` and by every run and step pod. Each `*.yaml` in
`/etc/ft-assets/stages` (a ConfigMap) maps a stage, the `stage` tag of an asset, to dagster-k8s pod settings;
a later file, by name, replaces the stages that it names. Assets of other stages get the run launcher's resources.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster_k8s import k8s_job_executor

from ft_assets import definitions as package

DEFAULT_FOLDER = "/etc/ft-assets/stages"


def read_stages(folder: Path) -> dict[str, dict[str, Any]]:
    """Pod settings of each stage.

    Raises:
        FileNotFoundError: the folder holds no settings; pods would get too little memory, so do not start.
    """
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise FileNotFoundError(f"no *.yaml in {folder}; mount the ConfigMap ft-assets-stages there")
    return {stage: settings for file in files for stage, settings in yaml.safe_load(file.read_text()).items()}


def settings_by_step(
    definitions: dg.Definitions, stages: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Pod settings by op name, for every asset whose stage has settings."""
    steps = {}
    for asset in definitions.assets or []:
        if isinstance(asset, dg.AssetsDefinition) and asset.is_executable:
            tags = asset.get_asset_spec(next(iter(asset.keys))).tags
            if tags.get("stage") in stages:
                steps[asset.op.name] = stages[tags["stage"]]
    return steps


@dg.definitions
def kubernetes() -> dg.Definitions:
    plain = package.defs()  # imported by module: Dagster wants one lazy definition a module, and this is it
    stages = read_stages(Path(os.environ.get("STAGES_FOLDER", DEFAULT_FOLDER)))
    executor = k8s_job_executor.configured({"per_step_k8s_config": settings_by_step(plain, stages)})
    return dg.Definitions.merge(plain, dg.Definitions(executor=executor))
