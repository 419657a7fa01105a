"""Re-reads a verdict from what was recorded and signed, trusting no earlier step."""

import json

from ft_assets.errors import Refused
from ft_assets.evaluation.receipts import Receipt, find_receipt, verify_receipt
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import artifact_of

JUDGED = {"dataset_digest": "dataset", "eval_digest": "eval_split", "report_digest": "eval_report"}
"""Field of a receipt's body -> asset of the candidate that it must match, as the final adapter must."""


def read_verdict(home: Home, candidate: Candidate) -> Receipt:
    """The candidate's latest receipt, of whatever verdict, once it is proven to be about what is here now.

    Raises:
        Refused: there is no receipt, it is not signed here, bytes were changed or replaced since, or the report
            says something else.
    """
    who = f"{candidate.model} {candidate.key}"
    receipt = find_receipt(home, candidate.model, candidate.key)
    if receipt is None:
        raise Refused(f"{who} has no gate receipt; materialize {candidate.model}/eval_report first")
    verify_receipt(home, receipt)
    body = receipt.body
    judged = {**JUDGED, "adapter_digest": candidate.recipe.final_adapter}
    present = {
        field: artifact_of(home, candidate.model, asset, candidate.key) for field, asset in judged.items()
    }
    base = artifact_of(home, "base_models", candidate.recipe.base.name)[0]
    digests = {**{field: found[0] for field, found in present.items()}, "base_digest": base}
    digests["recipe_digest"] = candidate.recipe.digest()
    if wrong := [field for field, digest in digests.items() if body.get(field) != digest]:
        raise Refused(
            f"the receipt of {who} is about other bytes than are here now ({', '.join(wrong)}); materialize "
            f"{candidate.model}/eval_report again"
        )
    report = json.loads((present["report_digest"][1] / "gate.json").read_text())
    if report["verdict"] != receipt.verdict:
        raise Refused(f"the report of {who} says {report['verdict']}, its receipt {receipt.verdict}")
    return receipt
