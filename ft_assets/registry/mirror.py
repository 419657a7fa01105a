"""Mirrors releases to an MLflow model registry, one way: ours decides, theirs shows.

Running it again changes nothing but what has changed here since.
"""

from dataclasses import dataclass
from typing import Any

from ft_assets.errors import BrokenEnvironment
from ft_assets.registry.ledger import BASE
from ft_assets.registry.routing import route
from ft_assets.storage.home import Home
from ft_assets.storage.releases import Release, list_releases


@dataclass(frozen=True)
class Mirrored:
    """A release and its version in the other registry."""

    address: str
    version: str
    new: bool
    alias: str | None


def mirror(home: Home, uri: str) -> list[Mirrored]:
    """Give every release a version, and the aliases `champion` and `challenger` to what serves now.

    Args:
        uri: of an MLflow registry (`http://…`, `sqlite:///…`); credentials come from MLflow's own variables.

    Raises:
        BrokenEnvironment: MLflow is not installed, or does not answer.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise BrokenEnvironment("MLflow is not installed; pip install 'ft-assets[tracking]'") from error
    releases = list_releases(home)
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        return [
            one for model in sorted({each.model for each in releases}) for one in _model(home, client, model)
        ]
    except MlflowException as error:
        raise BrokenEnvironment(f"MLflow at {uri.split('@')[-1]} refused: {error}") from error


def _model(home: Home, client: Any, model: str) -> list[Mirrored]:
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    known = {
        version.tags.get("address"): version.version
        for version in client.search_model_versions(f"name = '{model}'")
    }
    aliases = _aliases(home, model)
    mirrored = []
    for release in list_releases(home, model):
        version = known.get(release.address) or _create(home, client, release)
        mirrored.append(
            Mirrored(
                release.address, str(version), release.address not in known, aliases.get(release.address)
            )
        )
    versions = {one.alias: one.version for one in mirrored if one.alias}
    for alias in ("champion", "challenger"):
        if alias in versions:
            client.set_registered_model_alias(model, alias, versions[alias])
        elif alias in client.get_registered_model(model).aliases:
            client.delete_registered_model_alias(model, alias)  # the base serves, or no rollout runs
    return mirrored


def _aliases(home: Home, model: str) -> dict[str, str]:
    now = route(home, model)
    arms = {"champion": now.champion, "challenger": now.challenger}
    return {arm.address: alias for alias, arm in arms.items() if arm is not None and arm.address != BASE}


def _create(home: Home, client: Any, release: Release) -> str:
    tags = {
        "address": release.address,
        "candidate": release.candidate,
        "adapter_digest": release.adapter_digest,
        "base_digest": release.base_digest,
        "receipt": release.receipt,
    }
    source = f"{home.artifacts.root}/adapters/{release.adapter_digest}"
    return client.create_model_version(release.model, source, tags=tags).version
