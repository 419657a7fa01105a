"""API keys: made once, shown once, and kept only as hashes."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import sqlalchemy as sa

from ft_assets.errors import WrongInput
from ft_assets.storage.home import Home
from ft_assets.storage.tables import api_keys

Scope = Literal["infer", "feedback", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
MAX_NAME = 64


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key.

    Attributes:
        id: names it in the table of interactions.
        digest: sha256 of the key.
        scopes: what its holder may do; `admin` may do everything.
        per_minute: requests; None is no limit.
    """

    id: str
    digest: bytes
    scopes: frozenset[str]
    per_minute: int | None = None

    def may(self, scope: Scope) -> bool:
        """Whether its holder may do this."""
        return scope in self.scopes or "admin" in self.scopes


def add_key(home: Home, name: str, scopes: Sequence[str], per_minute: int | None = None) -> tuple[str, str]:
    """Make a key; returns its id and the key itself, which is not kept.

    Raises:
        WrongInput: no scope, or one that does not exist; a name that is empty, too long or not printable.
    """
    if not (name.strip() and name.isprintable() and len(name) <= MAX_NAME):
        raise WrongInput(
            f"name: {name!r}; a key is known by 1 to {MAX_NAME} printable characters, such as 'ann'"
        )
    if not scopes or (unknown := sorted(set(scopes) - set(SCOPES))):
        wrong = ", ".join(unknown) if scopes else "none"
        raise WrongInput(f"scopes: {wrong}; name at least one of {', '.join(SCOPES)}")
    key, key_id = f"ft-{secrets.token_urlsafe(32)}", secrets.token_hex(4)
    row = {
        "id": key_id,
        "name": name,
        "digest": hashlib.sha256(key.encode()).hexdigest(),
        "scopes": sorted(set(scopes)),
        "per_minute": per_minute,
        "created_at": datetime.now(UTC),
    }
    with home.database.write() as connection:
        connection.execute(sa.insert(api_keys).values(row))
    return key_id, key


def list_keys(home: Home) -> list[dict[str, Any]]:
    """Every key ever made, oldest first, without its hash."""
    columns = [column for column in api_keys.c if column.name != "digest"]
    return home.database.rows(sa.select(*columns).order_by(api_keys.c.created_at))


def revoke_key(home: Home, key_id: str) -> None:
    """Let a key open nothing any more; servers follow within a second.

    Raises:
        WrongInput: there is no such key, or it was revoked before.
    """
    still = sa.and_(api_keys.c.id == key_id, api_keys.c.revoked_at.is_(None))
    with home.database.write() as connection:
        done = connection.execute(sa.update(api_keys).where(still).values(revoked_at=datetime.now(UTC)))
    if done.rowcount == 0:
        raise WrongInput(f"no key {key_id} is in use; `ft-assets keys list` shows them by `id`")


def ever_keyed(home: Home) -> bool:
    """Whether a key was ever made: revoked ones count, so that the end of the last opens nothing."""
    return home.database.row(sa.select(api_keys.c.id).limit(1)) is not None


def active_keys(home: Home) -> tuple[ApiKey, ...]:
    """The keys that open something."""
    query = sa.select(api_keys).where(api_keys.c.revoked_at.is_(None))
    return tuple(
        ApiKey(row["id"], bytes.fromhex(row["digest"]), frozenset(row["scopes"]), row["per_minute"])
        for row in home.database.rows(query)
    )
