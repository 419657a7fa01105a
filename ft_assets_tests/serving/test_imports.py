"""What the service's processes may load."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "transformers", "peft"}


def loaded_by(module: str) -> set[str]:
    script = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_worker_never_loads_training():
    loaded = loaded_by("ft_assets.serving.runtime")
    assert loaded >= HEAVY
    assert not [name for name in loaded if name.startswith(("ft_assets.training", "dagster"))]


@pytest.mark.parametrize("module", ["ft_assets.serving.service", "ft_assets.serving.launch"])
def test_the_supervisor_and_the_command_line_stay_light(module: str):
    assert not loaded_by(module) & HEAVY
