"""What the Dagster layer of every stage shares: keys, partitions, the automation rule, and the hand-over."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import dagster as dg
from dagster._core.errors import DagsterPipesExecutionError

from ft_assets.errors import FtAssetsError
from ft_assets.recipe import Recipe
from ft_assets.storage.artifacts import Kind
from ft_assets.storage.child import CHILD_ENVIRONMENT, child_command
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, artifact_of, write_record

# Two features that Dagster still calls new, used knowingly: the version is pinned and tests cover both.
warnings.filterwarnings(
    "ignore", message="Specifying a partitions_def on an AssetCheckSpec", category=dg.PreviewWarning
)
warnings.filterwarnings("ignore", message="Parameter `include_sources`", category=dg.BetaWarning)

# Level-triggered on purpose: a partition is asked for while it is missing and can be made. Partitions are
# content-addressed, so there is never a reason to make one twice, and after a crash nothing is forgotten.
# A failed run is not asked for again: the person who mends the cause re-executes it.
READY = (
    dg.AutomationCondition.missing()
    & ~dg.AutomationCondition.in_progress()
    & ~dg.AutomationCondition.execution_failed()
)
WHEN_READY = (
    READY
    # Bases come from outside: Dagster never sees them made, and training prepares them itself.
    & ~dg.AutomationCondition.any_deps_missing().ignore(
        dg.AssetSelection.key_prefixes("base_models", include_sources=True)
    )
    & ~dg.AutomationCondition.any_deps_in_progress()
    & dg.AutomationCondition.all_deps_blocking_checks_passed()
)


class HomeResource(dg.ConfigurableResource):
    """Gives assets, checks and sensors the installation's state.

    Args:
        root: local folder or fsspec URL; empty means `FT_ASSETS_HOME`, else `.ft_assets`.
    """

    root: str = ""

    def open(self) -> Home:
        return Home(self.root)


def batch_partitions(model: str) -> dg.DynamicPartitionsDefinition:
    """Data as it arrives, one key a batch."""
    return dg.DynamicPartitionsDefinition(name=f"{model}_batches")


def candidate_partitions(model: str) -> dg.DynamicPartitionsDefinition:
    """Attempts at the model, one key a candidate."""
    return dg.DynamicPartitionsDefinition(name=f"{model}_candidates")


class AssetSettings(TypedDict):
    """Arguments of `@dg.asset` that every asset of a model has."""

    key: list[str]
    group_name: str
    owners: list[str]
    tags: dict[str, str]
    deps: list[Any]


def asset_settings(recipe: Recipe, name: str, stage: str, deps: Sequence[Any] = ()) -> AssetSettings:
    """Arguments that every asset of a model gives to `@dg.asset`.

    `deps` names assets of the same model; anything that is not a plain string is passed on as it is.
    """
    return {
        "key": [recipe.model, name],
        "group_name": recipe.model,
        "owners": [recipe.owner],
        "tags": {"stage": stage},
        "deps": [dg.AssetKey([recipe.model, dep]) if isinstance(dep, str) else dep for dep in deps],
    }


def hand_over(
    context: dg.AssetExecutionContext, home: Home, kind: Kind, digest: str, metadata: Mapping[str, Any]
) -> dg.MaterializeResult:
    """Record the artifact that this asset partition now holds, and describe it to Dagster."""
    model, asset = context.asset_key.path
    partition = context.partition_key if context.has_partition_key else ""
    write_record(home, Record(model, asset, partition, kind, digest), context.run.run_id)
    path = home.artifacts.path(kind, digest)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(digest),
        metadata={"artifact": dg.MetadataValue.path(str(path)), "digest": digest, **metadata},
    )


def upstream(
    context: dg.AssetExecutionContext, home: Home, asset: str, partition: str | None = None
) -> tuple[str, Path]:
    """Digest and verified folder that another asset of this model holds for this (or the named) partition."""
    model = context.asset_key.path[0]
    return artifact_of(home, model, asset, context.partition_key if partition is None else partition)


def run_child(
    context: dg.AssetExecutionContext, pipes: dg.PipesSubprocessClient, module: str, job: Path, log: Path
) -> None:
    """Run `python -m <module> <job>` through Pipes: heavy libraries live and die with that process.

    A child that fails has written why into its outcome file, which the caller reads next.
    """
    try:
        pipes.run(context=context, command=child_command(module, job), env=CHILD_ENVIRONMENT)
    except DagsterPipesExecutionError as error:
        context.log.error(f"{error}; see {log}")


@contextmanager
def plain_failures() -> Iterator[None]:
    """Turn an error meant for people into a Dagster failure that is not retried."""
    try:
        yield
    except FtAssetsError as error:
        metadata = {"exit_code": error.exit_code}
        raise dg.Failure(description=str(error), metadata=metadata, allow_retries=False) from error
