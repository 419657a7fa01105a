"""What every test may ask for: an empty home, a tiny base, and the recipe of a tiny model."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings

from ft_assets.bases.tiny_base import write_tiny_base
from ft_assets.recipe import Recipe
from ft_assets.storage.home import Home
from ft_assets_tests.postgres import SERVER, fresh_database

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "1")

# The same inputs on every run, as long as they are to take; `--hypothesis-seed=…` asks for others.
settings.register_profile("suite", derandomize=True, deadline=None, database=None)
settings.load_profile("suite")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """An empty installation in a temporary folder, its database on the Postgres that `postgres.py` names, if any."""
    for name in ("FT_ASSETS_DATABASE_URL", "FT_ASSETS_SCRATCH", "FT_ASSETS_SECRET_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FT_ASSETS_HOME", str(tmp_path / "home"))
    with ExitStack() as stack:
        if SERVER:
            monkeypatch.setenv("FT_ASSETS_DATABASE_URL", stack.enter_context(fresh_database(SERVER)))
        yield Home(tmp_path / "home")


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random base and its tokenizer."""
    folder = tmp_path_factory.mktemp("tiny_base")
    write_tiny_base(folder)
    return folder


@pytest.fixture
def recipe() -> Recipe:
    """A model on the tiny random base; tests derive others by `recipe.model_copy(update=…)`."""
    return Recipe.model_validate(
        {
            "model": "tiny",
            "description": "Writes one-line docstrings, badly.",
            "owner": "team:tests",
            "base": {"name": "tiny-random", "hub": None, "package": None, "tiny": True},
            "sources": [{"kind": "python_docstrings", "packages": ["json", "textwrap"], "max_rows": 40}],
            "training": {"max_steps": 4, "batch_tokens": 512, "validate_every": 2, "learning_rate": 1e-2},
            "evaluation": {
                "max_rows": 8,
                "max_new_tokens": 8,
                "metrics": [
                    {"kind": "chrf"},
                    {"kind": "pattern", "name": "well_formed", "pattern": "[A-Z].*[.]"},
                ],
            },
            # Eight rows show nothing of a share, so that one may fall by half.
            "gate": {"min_rows": 4, "resamples": 200, "margins": {"well_formed": 0.5}},
        }
    )
