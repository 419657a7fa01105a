"""The last look before an adapter meets users: its release must still have a signed pass behind it."""

import sqlalchemy as sa

from ft_assets.errors import Refused
from ft_assets.evaluation.receipts import Receipt, verify_receipt
from ft_assets.storage.home import Home
from ft_assets.storage.releases import Release
from ft_assets.storage.tables import receipts


def check_proof(home: Home, release: Release) -> None:
    """Check the gate receipt that a release names.

    Raises:
        Refused: it is missing, not signed by this installation, no pass, or about something else.
    """
    row = home.database.row(sa.select(receipts).where(receipts.c.id == release.receipt))
    if row is None:
        raise Refused(f"its receipt {release.receipt[:12]} is gone")
    receipt = Receipt(text=row.pop("body"), **row)
    verify_receipt(home, receipt)
    if receipt.verdict != "pass":
        raise Refused(f"the gate's verdict was {receipt.verdict}, not pass")
    body = receipt.body
    fields = ("model", "candidate", "adapter_digest", "base_digest")
    if wrong := [name for name in fields if body[name] != getattr(release, name)]:
        raise Refused(f"its receipt {release.receipt[:12]} names another {', '.join(wrong)}")
