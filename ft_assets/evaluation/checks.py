"""The gate as Dagster shows it: a blocking check on each candidate's report."""

import dagster as dg

from ft_assets.errors import FtAssetsError
from ft_assets.evaluation.markdown import bullets
from ft_assets.evaluation.proof import read_verdict
from ft_assets.recipe import Recipe
from ft_assets.storage.assets import HomeResource, candidate_partitions
from ft_assets.storage.candidates import get_candidate


def build_checks(recipe: Recipe) -> list[dg.AssetChecksDefinition]:
    """`gate`: passes only for a pass that is signed and about the bytes that are here."""

    # Partitioned, else a pass of another candidate would release one that failed.
    @dg.asset_check(
        asset=dg.AssetKey([recipe.model, "eval_report"]),
        name="gate",
        blocking=True,
        partitions_def=candidate_partitions(recipe.model),
        automation_condition=None,
        description="The gate's verdict is a pass, its receipt is signed here and matches the bytes. Blocks release.",
    )
    def gate(context: dg.AssetCheckExecutionContext, home: HomeResource) -> dg.AssetCheckResult:
        state = home.open()
        try:
            receipt = read_verdict(state, get_candidate(state, recipe.model, context.partition_key))
        except FtAssetsError as error:  # an unproven verdict blocks as a bad one does
            return _result(False, str(error), {})
        body = receipt.body
        metadata = {
            "verdict": receipt.verdict,
            "reasons": dg.MetadataValue.md(bullets(body["reasons"])),
            "receipt": receipt.id,
            "adapter": body["adapter_digest"],
            "contamination": dg.MetadataValue.json(body["contamination"]),
        }
        return _result(
            receipt.verdict == "pass", f"{receipt.verdict}: {'; '.join(body['reasons'])}", metadata
        )

    return [gate]


def _result(passed: bool, description: str, metadata: dict) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR
    return dg.AssetCheckResult(passed=passed, severity=severity, description=description, metadata=metadata)
