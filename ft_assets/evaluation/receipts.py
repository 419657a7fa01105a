"""Gate receipts: what was judged, by which bytes, with which verdict, signed by this installation."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ft_assets.errors import Refused
from ft_assets.storage.home import Home
from ft_assets.storage.tables import receipts


@dataclass(frozen=True)
class Receipt:
    """A signed verdict. `text` is the canonical JSON that was signed, and `id` its sha256."""

    id: str
    model: str
    candidate: str
    verdict: str
    text: str
    signature: str
    issued_at: datetime

    @property
    def body(self) -> dict[str, Any]:
        """What the receipt says."""
        return json.loads(self.text)


def issue_receipt(home: Home, body: dict[str, Any]) -> Receipt:
    """Sign a verdict and write it down.

    The same body again returns the candidate's latest receipt, if that is what it says and it is sound.

    Args:
        body: `model`, `candidate`, `verdict`, digests, scores …; plain JSON values. `issued_at` is added.
    """
    latest = find_receipt(home, body["model"], body["candidate"])
    if latest is not None and _is_sound(home, latest) and _says(latest, body):
        return latest
    issued_at = datetime.now(UTC)
    text = _canonical({**body, "issued_at": issued_at.isoformat()})
    receipt = Receipt(
        id=hashlib.sha256(text.encode()).hexdigest(),
        model=body["model"],
        candidate=body["candidate"],
        verdict=body["verdict"],
        text=text,
        signature=_key(home).sign(text.encode()).hex(),
        issued_at=issued_at,
    )
    row = {("body" if name == "text" else name): value for name, value in vars(receipt).items()}
    with home.database.write() as connection:
        connection.execute(sa.insert(receipts).values(row))
    return receipt


def verify_receipt(home: Home, receipt: Receipt) -> None:
    """Check that this installation signed the receipt, and that nothing in it was changed since.

    Raises:
        Refused: naming what is wrong.
    """
    try:
        _key(home).public_key().verify(bytes.fromhex(receipt.signature), receipt.text.encode())
    except (InvalidSignature, ValueError) as error:
        raise Refused(
            f"receipt {receipt.id[:12]} of {receipt.model} {receipt.candidate} does not carry this installation's "
            f"signature: it was changed, or signed with another key; evaluate the candidate again"
        ) from error
    body = receipt.body
    said = {
        "id": hashlib.sha256(receipt.text.encode()).hexdigest(),
        "model": body["model"],
        "candidate": body["candidate"],
        "verdict": body["verdict"],
        "issued_at": datetime.fromisoformat(body["issued_at"]),
    }
    wrong = [name for name, value in said.items() if getattr(receipt, name) != value]
    if wrong:
        raise Refused(
            f"receipt {receipt.id[:12]} of {receipt.model} {receipt.candidate} was changed: its "
            f"{', '.join(wrong)} is not what was signed; evaluate the candidate again"
        )


def find_receipt(home: Home, model: str, candidate: str) -> Receipt | None:
    """The candidate's latest receipt, not verified; None when it was never judged."""
    table = receipts
    query = (
        sa.select(table)
        .where(table.c.model == model, table.c.candidate == candidate)
        .order_by(table.c.issued_at.desc(), table.c.id)
        .limit(1)
    )
    row = home.database.row(query)
    return Receipt(text=row.pop("body"), **row) if row else None


def _key(home: Home) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(home.key("receipts"))


def _canonical(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _says(receipt: Receipt, body: dict[str, Any]) -> bool:
    said = receipt.body
    return _canonical({name: said[name] for name in said if name != "issued_at"}) == _canonical(body)


def _is_sound(home: Home, receipt: Receipt) -> bool:
    try:
        verify_receipt(home, receipt)
    except Refused:
        return False
    return True
