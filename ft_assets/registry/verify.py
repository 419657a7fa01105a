"""Whether a candidate's receipt still holds: its signature, and every byte that it speaks of. Needs no network."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ft_assets.errors import BrokenEnvironment, FtAssetsError, Refused
from ft_assets.evaluation.receipts import Receipt, find_receipt, verify_receipt
from ft_assets.registry.names import candidate_named
from ft_assets.storage.artifacts import Kind
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.home import Home
from ft_assets.storage.records import find_record
from ft_assets.storage.releases import Release
from ft_assets.storage.tables import receipts


@dataclass(frozen=True)
class Check:
    """One thing that a receipt vouches for. `found` says in words what is wrong, or the digest that is right."""

    what: str
    sound: bool
    found: str


def verify(home: Home, name: str) -> list[Check]:
    """Check the receipt behind a release or a candidate against everything that is here now.

    Args:
        name: what `names.candidate_named` knows.

    Raises:
        WrongInput: there is no such candidate.
        Refused: it was never judged.
    """
    candidate, release = candidate_named(home, name)
    receipt = _receipt(home, candidate, release)
    return [
        _signature(home, receipt),
        *_artifacts(home, candidate, receipt.body),
        _recipe(candidate, receipt.body),
        *_report(home, receipt.body),
        *_release(receipt, release),
    ]


def _receipt(home: Home, candidate: Candidate, release: Release | None) -> Receipt:
    """The receipt that opened the door for a release; of another candidate, its latest."""
    if release is not None:
        row = home.database.row(sa.select(receipts).where(receipts.c.id == release.receipt))
        if row is not None:
            return Receipt(text=row.pop("body"), **row)
    found = find_receipt(home, candidate.model, candidate.key)
    if found is None:
        raise Refused(f"{candidate.model} {candidate.key} was never judged, so it has no receipt to verify")
    return found


def _signature(home: Home, receipt: Receipt) -> Check:
    try:
        verify_receipt(home, receipt)
    except Refused as error:
        return Check("receipt", False, str(error))
    return Check("receipt", True, receipt.id)


def _artifacts(home: Home, candidate: Candidate, body: dict[str, Any]) -> Iterator[Check]:
    """Bytes against digests, and what the candidate holds now against what was judged."""
    model, key = candidate.model, candidate.key
    held: list[tuple[str, Kind, tuple[str, str, str]]] = [
        ("adapter", "adapters", (model, candidate.recipe.final_adapter, key)),
        ("base", "bases", ("base_models", candidate.recipe.base.name, "")),
        ("dataset", "datasets", (model, "dataset", key)),
        ("eval", "datasets", (model, "eval_split", key)),
        ("report", "reports", (model, "eval_report", key)),
    ]
    for what, kind, asset in held:
        said = body[f"{what}_digest"]
        record = find_record(home, *asset)
        try:
            home.artifacts.path(kind, said)
        except (Refused, BrokenEnvironment) as error:
            yield Check(what, False, str(error))
            continue
        if record is None or record.digest != said:
            holds = "nothing" if record is None else record.digest[:12]
            yield Check(what, False, f"{said[:12]} was judged, and {'/'.join(asset)} holds {holds} now")
        else:
            yield Check(what, True, said)


def _recipe(candidate: Candidate, body: dict[str, Any]) -> Check:
    found, said = candidate.recipe.digest(), body["recipe_digest"]
    if found == said:
        return Check("recipe", True, said)
    return Check(
        "recipe", False, f"{said[:12]} was judged by, and the candidate's recipe is {found[:12]} now"
    )


def _report(home: Home, body: dict[str, Any]) -> Iterator[Check]:
    """The receipt's own scores and verdict against those of the report that it names."""
    try:
        folder = home.artifacts.path("reports", body["report_digest"])
        scores = json.loads((folder / "scores.json").read_text())["means"]
        verdict = json.loads((folder / "gate.json").read_text())["verdict"]
    except (FtAssetsError, OSError, ValueError, KeyError) as error:
        yield Check("scores", False, f"the report cannot be read: {error}")
        return
    for what, said, found in (("scores", body["scores"], scores), ("verdict", body["verdict"], verdict)):
        same = said == found
        yield Check(what, same, json.dumps(said) if same else f"the receipt says {said}, the report {found}")


def _release(receipt: Receipt, release: Release | None) -> Iterator[Check]:
    if release is None:
        return
    body = receipt.body
    fields = ("model", "candidate", "adapter_digest", "base_digest")
    wrong = [field for field in fields if getattr(release, field) != body[field]]
    yield Check(
        "release",
        not wrong,
        f"the receipt is about another {', '.join(wrong)}" if wrong else release.address,
    )
