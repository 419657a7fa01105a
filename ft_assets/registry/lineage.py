"""Where an adapter came from, and from any served answer back to the data and the person behind it."""

import json
from typing import Any

import sqlalchemy as sa

from ft_assets.errors import WrongInput
from ft_assets.evaluation.receipts import Receipt
from ft_assets.registry.ledger import BASE, entries
from ft_assets.storage.candidates import Candidate, get_candidate, list_candidates
from ft_assets.storage.costs import add_up, costs_of
from ft_assets.storage.home import Home
from ft_assets.storage.meter import STOPPED_BY_BUDGET
from ft_assets.storage.records import artifact_of, find_record
from ft_assets.storage.releases import find_release
from ft_assets.storage.tables import interactions


def lineage_of(home: Home, candidate: Candidate, receipt: Receipt) -> dict[str, Any]:
    """Everything behind a candidate's adapter, as JSON values.

    Args:
        home: whose artifacts are read.
        candidate: the attempt; its splits and dataset were materialized.
        receipt: its verified gate receipt.
    """
    body = receipt.body
    dataset, folder = artifact_of(home, candidate.model, "dataset", candidate.key)
    manifest = json.loads((folder / "manifest.json").read_text())
    return {
        "candidate": candidate.key,
        "opened_for": list(candidate.reasons),
        "owner": candidate.recipe.owner,
        "adapter": body["adapter_digest"],
        **_aligned_from(home, candidate),
        "base": {"name": candidate.recipe.base.name, "digest": body["base_digest"]},
        "batches": manifest["batches"],
        "dataset": dataset,
        "rows": {"all": manifest["rows"], **manifest["sides"]},
        "splits": {side: _split(home, candidate, side) for side in ("train", "validation", "eval")},
        "recipe": body["recipe_digest"],
        **_training(home, candidate),
        "cost": vars(add_up(costs_of(home, candidate.model, candidate.key))),
        "code": body["code_digest"],
        "receipt": receipt.id,
        "scores": body["scores"],
        "incumbents": incumbents(home, candidate),
    }


def incumbents(home: Home, candidate: Candidate) -> list[str]:
    """Addresses of the champions that this candidate followed, nearest first."""
    found: list[str] = []
    ahead = candidate.incumbent
    while ahead is not None and ahead != BASE:
        found.append(ahead)
        ahead = get_candidate(home, candidate.model, find_release(home, ahead).candidate).incumbent
    return found


def trace(home: Home, inference_id: str) -> dict[str, Any]:
    """What stands behind one served answer: adapter, base, data, settings, scores and people.

    Raises:
        WrongInput: no such answer was served.
    """
    columns = ("inference_id", "model", "address", "rollout", "created_at")
    row = home.database.row(
        sa.select(*(interactions.c[name] for name in columns)).where(
            interactions.c.inference_id == inference_id
        )
    )
    if row is None:
        raise WrongInput(f"no answer {inference_id} was served; the service returns the id with each answer")
    served = {**row, "created_at": row["created_at"].isoformat()}
    if row["address"] == BASE:
        return {**served, "adapter": None, "base": _base(home, row["model"])}
    decisions = [
        {"action": entry.action, "by": entry.by, "reason": entry.reason, "at": entry.at.isoformat()}
        for entry in entries(home, row["model"])
        if entry.address == row["address"] and entry.at <= row["created_at"]
    ]
    return {**served, **find_release(home, row["address"]).lineage, "decisions": decisions}


def _aligned_from(home: Home, candidate: Candidate) -> dict[str, str]:
    """The adapter that an aligned one started from; nothing where the adapter is not aligned."""
    if candidate.recipe.alignment is None:
        return {}
    return {"sft_adapter": artifact_of(home, candidate.model, "adapter", candidate.key)[0]}


def _training(home: Home, candidate: Candidate) -> dict[str, Any]:
    """What the adapter was trained with: the recipe's settings, or those that a search found.

    With the step at which a budget stopped it, where one did: no setting says that.
    """
    _, folder = artifact_of(home, candidate.model, "adapter", candidate.key)
    facts = json.loads((folder / "training.json").read_text())
    reason = facts.get("stopped") or ""
    stop = {"step": facts.get("steps"), "reason": reason}
    return {"settings": facts["settings"], **({"stop": stop} if reason.startswith(STOPPED_BY_BUDGET) else {})}


def _split(home: Home, candidate: Candidate, side: str) -> str | None:
    record = find_record(home, candidate.model, f"{side}_split", candidate.key)
    return record.digest if record else None


def _base(home: Home, model: str) -> dict[str, str | None] | None:
    """Name and digest of the base that a model's latest candidate was opened on."""
    known = list_candidates(home, model)
    if not known:
        return None
    name = known[-1].recipe.base.name
    record = find_record(home, "base_models", name)
    return {"name": name, "digest": record.digest if record else None}
