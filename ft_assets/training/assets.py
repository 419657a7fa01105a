"""Dagster layer of training: the frozen base as an external asset, and the adapter of each candidate.

A model whose recipe has a `search` section has an `hpo_study` before its adapter, and one with an `alignment`
section an `aligned_adapter` after it.
"""

import json
from collections import Counter
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
from ft_assets.storage.candidates import Candidate, get_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.meter import STOPPED_BY_BUDGET, metered
from ft_assets.training.align_job import (
    AlignmentJob,
    AlignmentOutcome,
    discard_alignment,
    prepare_alignment,
    read_alignment_outcome,
)
from ft_assets.training.diagnosis import diagnose
from ft_assets.training.job import Outcome, TrainingJob, discard_work, prepare_job, read_outcome
from ft_assets.training.search_job import SearchJob, SearchOutcome, prepare_search, read_search_outcome
from ft_assets.training.search_result import StudyResult, read_study


def build_assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """`<model>/adapter`, with `hpo_study` before it and `aligned_adapter` after it where the recipe asks for them."""
    searches = [] if recipe.search is None else [_hpo_study(recipe)]
    deps = [*_inputs(recipe), "hpo_study"] if searches else _inputs(recipe)

    @dg.asset(
        **asset_settings(recipe, "adapter", "training", deps=deps),
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
            job = prepare_job(state, candidate, *splits, found=_found(context, state, candidate))
            whose = recipe.model, candidate.key
            with metered(state, whose, "training", recipe.cost, job.work, context.run.run_id) as meter:
                run_child(context, pipes, "ft_assets.training.worker", job.work / "job.json", job.log)
            outcome = read_outcome(job)
            digest = state.artifacts.adopt("adapters", job.output)
            folder = state.artifacts.path("adapters", digest)
            metadata = {**_metadata(folder, outcome, job), **meter.shown}
            result = hand_over(context, state, "adapters", digest, metadata)
            # A training that a budget stopped may go on from its checkpoint when there is more money.
            if not str(metadata["stopped"]).startswith(STOPPED_BY_BUDGET):
                discard_work(job)
        return result

    alignments = [] if recipe.alignment is None else [_aligned_adapter(recipe)]
    return [*searches, adapter, *alignments]


def _hpo_study(recipe: Recipe) -> dg.AssetsDefinition:
    @dg.asset(
        **asset_settings(recipe, "hpo_study", "training", deps=_inputs(recipe)),
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=WHEN_READY,
        pool="training",
        kinds={"pytorch", "optuna"},
        description="Training settings tried on the train split, the best of them by validation loss.",
    )
    def hpo_study(
        context: dg.AssetExecutionContext, home: HomeResource, pipes: dg.PipesSubprocessClient
    ) -> dg.MaterializeResult:
        state = home.open()
        with plain_failures():
            candidate = get_candidate(state, recipe.model, context.partition_key)
            splits = (upstream(context, state, name) for name in ("train_split", "validation_split"))
            job = prepare_search(state, candidate, *splits)
            whose = recipe.model, candidate.key
            with metered(state, whose, "search", recipe.cost, job.work, context.run.run_id) as meter:
                run_child(context, pipes, "ft_assets.training.search_worker", job.file, job.log)
            outcome = read_search_outcome(job)
            digest = state.artifacts.adopt("studies", job.output)
            result = read_study(state.artifacts.path("studies", digest))
            metadata = {**_study_metadata(result, outcome, job), **meter.shown}
            return hand_over(context, state, "studies", digest, metadata)

    return hpo_study


def _aligned_adapter(recipe: Recipe) -> dg.AssetsDefinition:
    @dg.asset(
        **asset_settings(recipe, "aligned_adapter", "training", deps=[*_inputs(recipe), "adapter"]),
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=WHEN_READY,
        pool="training",
        kinds={"pytorch", "huggingface"},
        description="The adapter, trained further on what people prefer. It is what is judged and released.",
    )
    def aligned_adapter(
        context: dg.AssetExecutionContext, home: HomeResource, pipes: dg.PipesSubprocessClient
    ) -> dg.MaterializeResult:
        state = home.open()
        with plain_failures():
            candidate = get_candidate(state, recipe.model, context.partition_key)
            sources = (
                upstream(context, state, name) for name in ("train_split", "validation_split", "adapter")
            )
            job = prepare_alignment(state, candidate, *sources)
            whose = recipe.model, candidate.key
            with metered(state, whose, "alignment", recipe.cost, job.work, context.run.run_id) as meter:
                run_child(context, pipes, "ft_assets.training.align_worker", job.work / "job.json", job.log)
            outcome = read_alignment_outcome(job)
            digest = state.artifacts.adopt("adapters", job.output)
            folder = state.artifacts.path("adapters", digest)
            metadata = {**_alignment_metadata(folder, outcome, job), **meter.shown}
            result = hand_over(context, state, "adapters", digest, metadata)
            discard_alignment(job)
        return result

    return aligned_adapter


def _inputs(recipe: Recipe) -> list[str | dg.AssetKey]:
    """What training may read. The eval split is not among it."""
    return ["train_split", "validation_split", dg.AssetKey([BASES, recipe.base.name])]


def _found(context: dg.AssetExecutionContext, home: Home, candidate: Candidate) -> Mapping[str, Any]:
    """Settings that the candidate's search found; none where its recipe asked for no search."""
    if candidate.recipe.search is None:
        return {}
    return read_study(upstream(context, home, "hpo_study")[1]).best_settings


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


def _alignment_metadata(folder: Path, outcome: AlignmentOutcome, job: AlignmentJob) -> Mapping[str, Any]:
    facts = json.loads((folder / "training.json").read_text())
    return {
        "method": job.settings.method,
        "preferences": dg.MetadataValue.json(facts["validation"]),
        "train_loss": facts["train_loss"][-1][1],
        **{name: facts[name] for name in ("steps", "rows", "left_out_rows")},
        "starts_from": job.adapter[0],
        "seconds": outcome.seconds,
        "peak_memory_mb": outcome.peak_memory_mb,
        "log": dg.MetadataValue.path(str(job.log)),
    }


def _metadata(folder: Path, outcome: Outcome, job: TrainingJob) -> Mapping[str, Any]:
    facts = json.loads((folder / "training.json").read_text())
    curve = facts["validation_loss"]
    metadata = {
        "loss_curves": _picture("loss curves", outcome.curves_png),
        "stopped": facts["stopped"],
        "curves_say": diagnose(facts["train_loss"], curve, facts["stopped"]),
        "train_loss": facts["train_loss"][-1][1] if facts["train_loss"] else None,
        "validation_loss_before": curve[0][1] if curve else None,
        "validation_loss_best": min(loss for _, loss in curve) if curve else None,
        **{name: facts[name] for name in ("steps", "best_step", "epochs", "rows", "left_out_rows", "tokens")},
        "seconds": outcome.seconds,
        "tokens_per_s": outcome.tokens_per_s,
        "share_of_matrix_product": outcome.utilisation,
        "peak_memory_mb": outcome.peak_memory_mb,
        "resumed_from_step": outcome.resumed_from,
        "base": f"{job.base_name} ({job.base[0][:12]})",
        "log": dg.MetadataValue.path(str(job.log)),
    }
    return {name: value for name, value in metadata.items() if value is not None}


def _study_metadata(result: StudyResult, outcome: SearchOutcome, job: SearchJob) -> Mapping[str, Any]:
    metadata = {
        "best_settings": dg.MetadataValue.json(result.best_settings),
        "best_trial": result.best_trial,
        "validation_loss_best": result.best_validation_loss,
        "trials": dg.MetadataValue.md(result.table()),
        "losses": _picture("validation losses", outcome.trials_png),
        "importances": _picture("importances", outcome.importances_png) if outcome.importances_png else None,
        **{
            f"trials_{state}": count for state, count in Counter(each.state for each in result.trials).items()
        },
        "trials_kept": outcome.trials_kept,
        "seconds": outcome.seconds,
        "log": dg.MetadataValue.path(str(job.log)),
    }
    return {name: value for name, value in metadata.items() if value is not None}


def _picture(name: str, png: str) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{png})")
