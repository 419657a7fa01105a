"""An MLflow registry shows what ours decided."""

from pathlib import Path

import pytest

from ft_assets.errors import BrokenEnvironment
from ft_assets.recipe import Recipe
from ft_assets.registry.mirror import mirror
from ft_assets.registry.rollback import rollback
from ft_assets.storage.home import Home
from ft_assets_tests.registry.test_rollback import promoted


def test_versions_and_aliases_follow_ours(home: Home, recipe: Recipe, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    one, two = promoted(home, recipe, "one", "two")
    first = mirror(home, uri)
    assert [(row.address, row.new, row.alias) for row in first] == [
        (one.address, True, None),
        (two.address, True, "champion"),
    ]
    assert [row.new for row in mirror(home, uri)] == [False, False]
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    version = client.get_model_version_by_alias("tiny", "champion")
    assert version.tags["receipt"] == two.receipt
    assert version.source.endswith(two.adapter_digest)
    rollback(home, "tiny", "base", "ada", "worse")
    mirror(home, uri)
    assert client.get_registered_model("tiny").aliases == {}


def test_a_registry_that_is_not_there_is_told_in_words(
    home: Home, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted(home, recipe, "one")
    for name, value in {"MAX_RETRIES": "0", "TIMEOUT": "2"}.items():
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", value)
    with pytest.raises(BrokenEnvironment, match=r"MLflow at http://127\.0\.0\.1:9"):
        mirror(home, "http://127.0.0.1:9")
