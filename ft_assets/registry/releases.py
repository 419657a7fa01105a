"""Releasing: the one door to traffic. It opens for a signed pass over exactly the bytes at hand."""

import json
from datetime import UTC, datetime

import sqlalchemy as sa

from ft_assets.errors import Refused
from ft_assets.evaluation.proof import JUDGED
from ft_assets.evaluation.receipts import Receipt, find_receipt, verify_receipt
from ft_assets.registry.lineage import lineage_of
from ft_assets.storage.candidates import Candidate, get_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.keys import address
from ft_assets.storage.records import artifact_of
from ft_assets.storage.releases import Release, find_release, list_releases
from ft_assets.storage.tables import releases


def release(home: Home, model: str, candidate: str) -> Release:
    """Make a candidate fit to serve: re-check its proof, and write it down with its lineage.

    Releasing the same candidate again returns the same release.

    Raises:
        Refused: the gate did not pass it, the receipt is missing or forged, an artifact is not the one that
            was judged, or these bytes were released before as another candidate.
    """
    chosen = get_candidate(home, model, candidate)
    receipt = proof_of(home, chosen)
    name = address(model, receipt.body["adapter_digest"])
    row = {
        "address": name,
        "model": model,
        "candidate": candidate,
        "adapter_digest": receipt.body["adapter_digest"],
        "base_digest": receipt.body["base_digest"],
        "receipt": receipt.id,
        "lineage": lineage_of(home, chosen, receipt),
        "released_at": datetime.now(UTC),
    }
    with home.database.write() as connection:
        owner = connection.scalar(sa.select(releases.c.candidate).where(releases.c.address == name))
        if owner is None:
            connection.execute(sa.insert(releases).values(row))
        elif owner != candidate:
            raise Refused(
                f"{model} {candidate} is byte for byte the adapter that was released as {name} from candidate "
                f"{owner}: there is nothing new to release"
            )
    return find_release(home, name)


def release_of(home: Home, model: str, candidate: str) -> Release:
    """The release of a candidate.

    Raises:
        Refused: it was never released.
    """
    for found in list_releases(home, model):
        if found.candidate == candidate:
            return found
    raise Refused(f"{model} {candidate} was never released; materialize {model}/release first")


def proof_of(home: Home, candidate: Candidate) -> Receipt:
    """The candidate's latest gate receipt: signed here, a pass, and about the bytes that are here now.

    Raises:
        Refused: naming what is missing, or which digests differ.
    """
    who = f"{candidate.model} {candidate.key}"
    receipt = find_receipt(home, candidate.model, candidate.key)
    if receipt is None:
        raise Refused(f"{who} has no gate receipt; materialize {candidate.model}/eval_report first")
    verify_receipt(home, receipt)
    body = receipt.body
    if (body["model"], body["candidate"]) != (candidate.model, candidate.key):
        raise Refused(
            f"receipt {receipt.id} was issued for {body['model']} {body['candidate']}, not for {who}"
        )
    if body["verdict"] != "pass":
        reasons = "; ".join(body["reasons"]) or "no reason was given"
        raise Refused(f"the gate's verdict on {who} is {body['verdict']}: {reasons}")
    present = _digests(home, candidate)
    wrong = [
        f"{field} is {found[:12]} and the receipt says {str(body.get(field))[:12]}"
        for field, found in present.items()
        if body.get(field) != found
    ]
    if wrong:
        raise Refused(f"receipt {receipt.id[:12]} is not about what {who} holds now: {'; '.join(wrong)}")
    _check_training(home, candidate, present["base_digest"])
    return receipt


def _digests(home: Home, candidate: Candidate) -> dict[str, str]:
    """Digests of what the candidate holds now. Reading an artifact checks its bytes."""
    assets = {**JUDGED, "adapter_digest": candidate.recipe.final_adapter}
    found = {
        field: artifact_of(home, candidate.model, asset, candidate.key)[0] for field, asset in assets.items()
    }
    found["base_digest"] = artifact_of(home, "base_models", candidate.recipe.base.name)[0]
    found["recipe_digest"] = candidate.recipe.digest()
    return found


def _check_training(home: Home, candidate: Candidate, base_digest: str) -> None:
    """Refuse an adapter that says it was trained on another base or other rows than its lineage will name.

    An aligned one must also have started from the adapter that the candidate holds.
    """
    train_digest, _ = artifact_of(home, candidate.model, "train_split", candidate.key)
    expected = {"base_digest": base_digest, "train_digest": train_digest}
    adapter_digest = _check_stage(home, candidate, "adapter", expected)
    if candidate.recipe.alignment is not None:
        _check_stage(home, candidate, "aligned_adapter", {**expected, "adapter_digest": adapter_digest})


def _check_stage(home: Home, candidate: Candidate, asset: str, expected: dict[str, str]) -> str:
    digest, folder = artifact_of(home, candidate.model, asset, candidate.key)
    said = json.loads((folder / "training.json").read_text())
    for field, found in expected.items():
        if said[field] != found:
            raise Refused(
                f"the {asset} of {candidate.model} {candidate.key} was trained with {field} {said[field][:12]}, "
                f"and the candidate holds {found[:12]} now; materialize what is older again"
            )
    return digest
