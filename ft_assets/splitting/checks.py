"""Two blocking checks: the sides hold no copies of one another, and eval holds nothing trained on."""

from collections.abc import Sequence

import dagster as dg
import pyarrow.parquet as pq

from ft_assets.recipe import Recipe
from ft_assets.splitting.contamination import Match, search, trained_rows
from ft_assets.splitting.dataset import read_dataset
from ft_assets.splitting.proof import Touch, find_touching
from ft_assets.splitting.retirement import retire
from ft_assets.storage.assets import HomeResource, candidate_partitions, plain_failures
from ft_assets.storage.candidates import get_candidate
from ft_assets.storage.records import artifact_of

_SHOWN = 50


def build_checks(recipe: Recipe) -> list[dg.AssetChecksDefinition]:
    """`sides_do_not_touch` on `dataset`, `no_contamination` on `eval_split`."""
    return [_sides_do_not_touch(recipe), _no_contamination(recipe)]


def _sides_do_not_touch(recipe: Recipe) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=dg.AssetKey([recipe.model, "dataset"]),
        name="sides_do_not_touch",
        description="Every row lies where the split ledger says, and no row has a near-copy on another side.",
        blocking=True,
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=None,
    )
    def sides_do_not_touch(context: dg.AssetCheckExecutionContext, home: HomeResource) -> dg.AssetCheckResult:
        opened = home.open()
        with plain_failures():
            candidate = get_candidate(opened, recipe.model, context.partition_key)
            rows = read_dataset(artifact_of(opened, recipe.model, "dataset", candidate.key)[1])
            touching = find_touching(opened, rows, candidate.recipe.splitting)
        return dg.AssetCheckResult(
            passed=not touching,
            description=f"{len(touching)} of {rows.num_rows} rows touch another side." if touching else None,
            metadata={"rows": rows.num_rows, "touching": len(touching), "offenders": _touches(touching)},
        )

    return sides_do_not_touch


def _no_contamination(recipe: Recipe) -> dg.AssetChecksDefinition:
    splits = [dg.AssetKey([recipe.model, name]) for name in ("train_split", "validation_split")]

    @dg.asset_check(
        asset=dg.AssetKey([recipe.model, "eval_split"]),
        additional_deps=splits,
        name="no_contamination",
        description="No eval row is a copy of a row that the candidate or any of its ancestors trained on.",
        blocking=True,
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=None,
    )
    def no_contamination(context: dg.AssetCheckExecutionContext, home: HomeResource) -> dg.AssetCheckResult:
        opened = home.open()
        with plain_failures():
            candidate = get_candidate(opened, recipe.model, context.partition_key)
            _, folder = artifact_of(opened, recipe.model, "eval_split", candidate.key)
            eval_rows, trained = pq.read_table(folder / "rows.parquet"), trained_rows(opened, candidate)
            gate = candidate.recipe.gate
            matches = search(eval_rows, trained, gate.contamination_jaccard, gate.contamination_similarity)
            retired = retire(opened, candidate, matches)
        return dg.AssetCheckResult(
            passed=not matches,
            description=_dirty(matches),
            metadata={
                "eval_rows": eval_rows.num_rows,
                "trained_rows": trained.num_rows,
                "matches": len(matches),
                "newly retired": retired,
                "offenders": _matches(matches),
            },
        )

    return no_contamination


def _dirty(matches: Sequence[Match]) -> str | None:
    count = len({match.eval_id for match in matches})
    words = (
        f"{count} eval rows were trained on. They are retired and judge nothing any more: find out how they got into "
        "training (`offenders` says which rows, source and batch), then materialize eval_split again without them."
    )
    return words if matches else None


def _touches(touching: Sequence[Touch]) -> dg.MarkdownMetadataValue:
    lines = [f"| {touch.id} | {touch.side} | {touch.reason} |" for touch in touching[:_SHOWN]]
    return dg.MetadataValue.md("\n".join(["| row | side | reason |", "| --- | --- | --- |", *lines]))


def _matches(matches: Sequence[Match]) -> dg.MarkdownMetadataValue:
    head = "| eval row | trained row | kind | similarity | source | batch |"
    lines = [
        f"| {match.eval_id} | {match.trained_id} | {match.kind} | {match.similarity:.2f} "
        f"| {match.trained_source} | {match.trained_batch} |"
        for match in matches[:_SHOWN]
    ]
    return dg.MetadataValue.md("\n".join([head, "|" + " --- |" * 6, *lines]))
