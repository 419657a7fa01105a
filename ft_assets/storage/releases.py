"""Reading releases. Only the registry writes them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ft_assets.errors import WrongInput
from ft_assets.storage.home import Home
from ft_assets.storage.tables import releases


@dataclass(frozen=True)
class Release:
    """An adapter that passed its gate, with the digests of everything behind it."""

    address: str
    model: str
    candidate: str
    adapter_digest: str
    base_digest: str
    receipt: str
    lineage: dict[str, Any]
    released_at: datetime


def find_release(home: Home, address: str) -> Release:
    """The release of an address.

    Raises:
        WrongInput: there is none.
    """
    row = home.database.row(sa.select(releases).where(releases.c.address == address))
    if row is None:
        raise WrongInput(f"no release {address}; `ft-assets history` lists them")
    return Release(**row)


def list_releases(home: Home, model: str | None = None) -> list[Release]:
    """Every release, of one model or of all, oldest first."""
    query = sa.select(releases).order_by(releases.c.released_at, releases.c.address)
    if model is not None:
        query = query.where(releases.c.model == model)
    return [Release(**row) for row in home.database.rows(query)]
