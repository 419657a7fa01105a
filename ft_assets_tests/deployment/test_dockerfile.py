"""What can be said of the images without an engine to build them."""

import re
import shlex
import tomllib

import pytest

from ft_assets_tests.deployment.tree import DEPLOYMENT, ROOT, Manifest, containers

TEXT = (DEPLOYMENT / "Dockerfile").read_text()
IGNORED = (DEPLOYMENT / "Dockerfile.dockerignore").read_text().split("\n")


def _stages() -> dict[str, list[str]]:
    """Instructions of each stage, comments left out and continued lines joined."""
    lines = [line for line in TEXT.splitlines() if not line.lstrip().startswith("#")]
    stages: dict[str, list[str]] = {}
    name = ""
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        found = re.match(r"FROM (\S+) AS (\S+)$", line)
        name = found[2] if found else name
        if line.strip():
            stages.setdefault(name, []).append(line)
    return stages


def test_every_image_of_the_manifests_is_a_target(base: list[Manifest]) -> None:
    ours = {item["image"] for _, item in containers(base) if item["image"].startswith("ft-assets-")}
    targets = {image.removeprefix("ft-assets-").split(":")[0] for image in ours} | {"trainer"}
    assert targets == {"code", "trainer", "service"}
    assert targets <= set(_stages())


@pytest.mark.parametrize("target", ["code", "trainer", "service"])
def test_a_target_ends_as_a_numbered_user_and_says_how_its_health_is_asked(target: str) -> None:
    stage = _stages()[target]
    assert "USER 10001:10001" in stage
    assert any(line.startswith("HEALTHCHECK") for line in stage)
    assert any(line.startswith("CMD [") for line in stage)


def test_only_the_python_image_comes_from_outside() -> None:
    stages = _stages()
    sources = {lines[0].split()[1] for lines in stages.values()}
    assert sources - set(stages) == {"python:3.11-slim"}
    assert set(re.findall(r"://([^:/]+)", TEXT)) == {"127.0.0.1"}


def test_every_install_is_held_to_the_lock() -> None:
    installs = re.findall(r"pip install [^&\n]+", re.sub(r"\\\n\s*", "", TEXT))
    assert installs
    for install in installs:
        assert "--constraint requirements.lock" in install or "grep '^" in install, install
    locked = (ROOT / "requirements.lock").read_text()
    for package in re.findall(r"grep '\^([a-z0-9-]+)=='", TEXT):
        assert re.search(rf"^{package}==\d", locked, re.M), package


def test_the_package_is_installed_with_its_project_file_beside_it() -> None:
    # Installed any other way there is no pyproject.toml above it, and Dagster finds no project.
    assert all("--editable" in line for line in re.findall(r"pip install [^&\n]*\[k8s", TEXT))
    assert "COPY pyproject.toml requirements.lock README.md ./" in TEXT


def test_extras_are_ones_that_the_project_has_and_only_the_light_image_lacks_torch() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {name for group in re.findall(r'"\.\[([a-z0-9,]+)\]"', TEXT) for name in group.split(",")}
    assert named == {"k8s", "train", "monitor", "serve"}
    assert named <= set(extras)
    stages = _stages()
    assert "torch" not in " ".join(stages["base"] + stages["code-packages"] + stages["code"])


def test_copied_files_exist_and_are_sent_to_the_builder() -> None:
    for line in re.findall(r"^COPY (.+)$", TEXT, re.M):
        for source in shlex.split(line)[:-1]:
            assert f"!{source}" in IGNORED, source
            assert (ROOT / source).exists(), source


def test_nothing_else_is_sent_to_the_builder() -> None:
    kept = {line[1:] for line in IGNORED if line.startswith("!")}
    assert IGNORED[1] == "*"
    assert kept == {
        "pyproject.toml",
        "requirements.lock",
        "README.md",
        "ft_assets",
        "deployment/code_location.py",
    }


def test_no_secret_is_in_the_image() -> None:
    assert not re.search(r"(?i)(password|secret|token)\s*=", TEXT)
