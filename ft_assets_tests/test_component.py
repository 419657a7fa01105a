"""A model is one YAML file: it needs no Python, and a mistake in it is reported where it stands."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
_LIST_KEYS = """
import json, sys
from ft_assets.definitions import defs
graph = defs().resolve_asset_graph() if callable(defs) else defs.resolve_asset_graph()
nodes = {node.key.to_user_string(): node.group_name for node in graph.asset_nodes}
print(json.dumps(nodes))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project that a test may change."""
    shutil.copytree(ROOT / "ft_assets", tmp_path / "ft_assets", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "workspace.yaml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def _add_model(project: Path, name: str, **changes: object) -> Path:
    first = yaml.safe_load((project / "ft_assets/defs/docstrings/defs.yaml").read_text())
    first["attributes"] |= {"model": name, **changes}
    path = project / "ft_assets" / "defs" / name / "defs.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(first))
    return path


def _run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120)


def test_a_second_model_is_one_more_yaml_file(project: Path) -> None:
    _add_model(project, "second")
    listed = _run(project, sys.executable, "-c", _LIST_KEYS)
    assert listed.returncode == 0, listed.stderr
    nodes = json.loads(listed.stdout.splitlines()[-1])
    first = {key.removeprefix("docstrings/") for key in nodes if key.startswith("docstrings/")}
    second = {key.removeprefix("second/") for key in nodes if key.startswith("second/")}
    assert first == second and "release" in second
    assert nodes["second/adapter"] == "second"
    assert nodes["base_models/smollm2-135m-instruct"] == "base_models"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": {"learning_rat": 0.1}}, ["learning_rat", "attributes.training"]),
        (
            {"gate": {"confidence": 1.5}},
            ["confidence", "attributes.gate.confidence 1.5 is greater than or equal to the maximum of 1.0"],
        ),
        (
            {"evaluation": {"metrics": [{"kind": "pattern", "patern": "x"}]}},
            ["kind: pattern", "patern", "attributes.evaluation.metrics"],
        ),
        (
            {"evaluation": {"retention": {"tasks": ["a"], "limits": 3}}},
            ["limits", "attributes.evaluation.retention"],
        ),
    ],
)
def test_a_wrong_setting_is_reported_with_file_line_and_field(
    project: Path, changes: dict, words: list[str]
) -> None:
    path = _add_model(project, "second", **changes)
    checked = _run(project, str(Path(sys.executable).parent / "dg"), "check", "yaml")
    said = checked.stdout + checked.stderr
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if words[0] in text)
    assert checked.returncode != 0
    assert f"second/defs.yaml:{line}" in said
    assert all(word in said for word in words)
