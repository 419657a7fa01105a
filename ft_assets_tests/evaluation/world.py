"""A candidate whose splits and adapter are already there, so that only its evaluation is left to run."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from ft_assets.bases.base_models import prepare_base
from ft_assets.evaluation.assets import build_assets
from ft_assets.evaluation.checks import build_checks
from ft_assets.evaluation.receipts import find_receipt
from ft_assets.recipe import Recipe
from ft_assets.sources.example import Example, Message, to_table
from ft_assets.splitting.canaries import Canary, canaries_of, plant
from ft_assets.storage.assets import HomeResource, candidate_partitions
from ft_assets.storage.candidates import Candidate, open_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.keys import address
from ft_assets.storage.records import Record, artifact_of, write_record
from ft_assets.storage.tables import releases

WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heath",
    "inlet",
    "jetty",
    "knoll",
    "larch",
]


def example(number: int, source: str = "test") -> Example:
    """A question that shares no three words in a row with any other, and an answer in one house style."""
    names = [WORDS[(number * step + number // 12) % 12] + str(number * step % 97) for step in (1, 3, 5, 7, 9)]
    answer = f"Return the {WORDS[number % 12]} of {WORDS[number // 12 % 12]}."
    turns = (Message(role="user", content=" ".join(names)), Message(role="assistant", content=answer))
    return Example(messages=turns, source=source, license="MIT", slice=WORDS[number % 4], batch="batch-1")


TRAIN = [example(number) for number in range(100, 132)]
EVAL = [example(number) for number in range(12)]


def prepare_candidate(
    home: Home,
    recipe: Recipe,
    adapter: Path,
    train: Sequence[Example] = TRAIN,
    held_out: Sequence[Example] = EVAL,
    incumbent: str | None = None,
    batch: str = "batch-1",
) -> Candidate:
    """Open a candidate and record its dataset, splits, base and adapter."""
    candidate = open_candidate(home, recipe, [batch], incumbent, ["test"])
    prepare_base(home, recipe.base)
    sides = {"train": len(train), "validation": 0, "eval": len(held_out)}
    manifest = {"batches": {batch: "b" * 64}, "rows": sum(sides.values()), "sides": sides}
    tables = {
        "dataset": _clustered([*train, *held_out]),
        "train_split": plant(_clustered(train), _secrets(home, candidate)),
        "validation_split": _clustered([]),
        "eval_split": _clustered(held_out),
    }
    for asset, table in tables.items():
        files = {"manifest.json": json.dumps(manifest)} if asset == "dataset" else {}
        digest = home.artifacts.write("datasets", partial(_write_rows, table, files))
        write_record(home, Record(recipe.model, asset, candidate.key, "datasets", digest))
    hold_adapter(home, candidate, adapter)
    return candidate


def hold_adapter(home: Home, candidate: Candidate, adapter: Path) -> None:
    """Let a candidate hold an adapter, which says that it was trained on what the candidate holds."""
    trained = {
        "base_digest": artifact_of(home, "base_models", candidate.recipe.base.name)[0],
        "train_digest": artifact_of(home, candidate.model, "train_split", candidate.key)[0],
        "settings": candidate.recipe.training.model_dump(mode="json"),
    }

    def write(folder: Path) -> None:
        _copy(adapter, folder)
        (folder / "training.json").write_text(json.dumps(trained))

    digest = home.artifacts.write("adapters", write)
    write_record(home, Record(candidate.model, "adapter", candidate.key, "adapters", digest))


def pretend_release(home: Home, candidate: Candidate) -> str:
    """Write a judged candidate among the releases, as the registry would; returns its address."""
    receipt = find_receipt(home, candidate.model, candidate.key)
    assert receipt is not None
    digest = receipt.body["adapter_digest"]
    row = {
        "address": address(candidate.model, digest),
        "model": candidate.model,
        "candidate": candidate.key,
        "adapter_digest": digest,
        "base_digest": receipt.body["base_digest"],
        "receipt": receipt.id,
        "lineage": {},
        "released_at": receipt.issued_at,
    }
    with home.database.write() as connection:
        connection.execute(sa.insert(releases).values(row))
    return row["address"]


def definitions(home: Home, recipe: Recipe, *more: dg.AssetsDefinition) -> dg.Definitions:
    return dg.Definitions(
        assets=[*build_assets(recipe), *more],
        asset_checks=build_checks(recipe),
        resources={"home": HomeResource(root=home.root), "pipes": dg.PipesSubprocessClient()},
    )


def materialize(
    home: Home, recipe: Recipe, candidate: Candidate, instance: dg.DagsterInstance, *more: dg.AssetsDefinition
) -> dg.ExecuteInProcessResult:
    """Run `eval_report`, its check, and what is given besides, for one candidate."""
    instance.add_dynamic_partitions(candidate_partitions(recipe.model).name or "", [candidate.key])
    return dg.materialize(
        [*build_assets(recipe), *build_checks(recipe), *more],
        partition_key=candidate.key,
        instance=instance,
        resources={"home": HomeResource(root=home.root), "pipes": dg.PipesSubprocessClient()},
        raise_on_error=False,
    )


def report_folder(home: Home, candidate: Candidate) -> Path:
    return artifact_of(home, candidate.model, "eval_report", candidate.key)[1]


def _write_rows(rows: pa.Table, files: Mapping[str, str], folder: Path) -> None:
    pq.write_table(rows, folder / "rows.parquet")
    for name, text in files.items():
        (folder / name).write_text(text)


def _secrets(home: Home, candidate: Candidate) -> list[Canary]:
    honesty = candidate.recipe.honesty
    return canaries_of(home, candidate.model, candidate.key, honesty.canaries) if honesty else []


def _clustered(examples: Sequence[Example]) -> pa.Table:
    table = to_table(examples)
    return table.append_column("cluster", table["id"])


def _copy(source: Path, target: Path) -> None:
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (target / name).write_bytes((source / name).read_bytes())
