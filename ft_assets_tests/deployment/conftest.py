"""The manifests: base always, base and overlays as kubectl builds them where there is a kubectl."""

import shutil
from pathlib import Path

import pytest

from ft_assets_tests.deployment.tree import DEPLOYMENT, Manifest, assemble_base, build, copy_with_secrets

OVERLAYS = sorted(path.name for path in (DEPLOYMENT / "overlays").iterdir() if path.is_dir())


@pytest.fixture(scope="session")
def deployment_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `deployment/` with example secrets."""
    return copy_with_secrets(tmp_path_factory.mktemp("kustomize") / "deployment")


@pytest.fixture(scope="session")
def base() -> list[Manifest]:
    """The base, put together without kubectl."""
    return assemble_base()


@pytest.fixture(scope="session", params=["base", *OVERLAYS])
def built(request: pytest.FixtureRequest, deployment_copy: Path) -> tuple[str, list[Manifest]]:
    """(name, manifests) of the base and of each overlay; skipped without kubectl, but for the base."""
    if shutil.which("kubectl"):
        folder = "base" if request.param == "base" else f"overlays/{request.param}"
        return request.param, build(deployment_copy / folder)
    if request.param == "base":
        return "base", assemble_base()
    pytest.skip("kubectl is not installed, and overlays are merged by it alone")
