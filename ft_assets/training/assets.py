"""Dagster layer of training: the frozen base as an external asset, and the adapter of each candidate."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from ft_assets.bases.base_models import BASES
from ft_assets.recipe import Base, Recipe
from ft_assets.storage.assets import (
    WHEN_READY,
    HomeResource,
    asset_settings,
    candidate_partitions,
    hand_over,
    plain_failures,
    run_child,
    upstream,
)
from ft_assets.storage.candidates import get_candidate
from ft_assets.training.job import Outcome, TrainingJob, discard_work, prepare_job, read_outcome


def build_assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """`<model>/adapter`."""
    base = dg.AssetKey([BASES, recipe.base.name])

    @dg.asset(
        **asset_settings(recipe, "adapter", "training", deps=["train_split", "validation_split", base]),
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=WHEN_READY,
        pool="training",
        kinds={"pytorch", "huggingface"},
        description="LoRA adapter trained on the train split, at its best validation loss.",
    )
    def adapter(
        context: dg.AssetExecutionContext, home: HomeResource, pipes: dg.PipesSubprocessClient
    ) -> dg.MaterializeResult:
        state = home.open()
        with plain_failures():
            candidate = get_candidate(state, recipe.model, context.partition_key)
            splits = (upstream(context, state, name) for name in ("train_split", "validation_split"))
            job = prepare_job(state, candidate, *splits)
            run_child(context, pipes, "ft_assets.training.worker", job.work / "job.json", job.log)
            outcome = read_outcome(job)
            digest = state.artifacts.adopt("adapters", job.output)
            folder = state.artifacts.path("adapters", digest)
            result = hand_over(context, state, "adapters", digest, _metadata(folder, outcome, job))
            discard_work(job)
        return result

    return [adapter]


def base_spec(base: Base) -> dg.AssetSpec:
    """The external asset of a base, which all models on it share."""
    origin = "a tiny random model" if base.tiny else base.hub or base.package
    return dg.AssetSpec(
        [BASES, base.name],
        group_name=BASES,
        description=f"Frozen base model: {origin}, {base.license}. Converted to safetensors on first use.",
        kinds={"huggingface"},
        tags={"stage": "training"},
    )


def _metadata(folder: Path, outcome: Outcome, job: TrainingJob) -> Mapping[str, Any]:
    facts = json.loads((folder / "training.json").read_text())
    curve = facts["validation_loss"]
    metadata = {
        "loss_curves": dg.MetadataValue.md(f"![loss curves](data:image/png;base64,{outcome.curves_png})"),
        "stopped": facts["stopped"],
        "train_loss": facts["train_loss"][-1][1] if facts["train_loss"] else None,
        "validation_loss_before": curve[0][1] if curve else None,
        "validation_loss_best": min(loss for _, loss in curve) if curve else None,
        **{name: facts[name] for name in ("steps", "best_step", "epochs", "rows", "left_out_rows", "tokens")},
        "seconds": outcome.seconds,
        "tokens_per_s": outcome.tokens_per_s,
        "peak_memory_mb": outcome.peak_memory_mb,
        "resumed_from_step": outcome.resumed_from,
        "base": f"{job.base_name} ({job.base[0][:12]})",
        "log": dg.MetadataValue.path(str(job.log)),
    }
    return {name: value for name, value in metadata.items() if value is not None}
