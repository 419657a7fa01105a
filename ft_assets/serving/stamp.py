"""Whether the routing may have changed, by one query in a fraction of the time that reading it takes."""

import hashlib
from typing import Any

import sqlalchemy as sa

from ft_assets.registry.routing import OPEN_STATES
from ft_assets.storage.home import Home
from ft_assets.storage.tables import api_keys, batches, candidates, promotion_ledger, releases, rollouts


def take_stamp(home: Home) -> str:
    """Hexadecimal digits that change when a `Picture` does.

    The tables that it counts are only added to, but for keys, which are also revoked; of rollouts it has whatever
    `route` reads.
    """
    return hashlib.sha256(repr(home.database.rows(_QUERY)).encode()).hexdigest()


def _query() -> sa.Select[*tuple[Any, ...]]:
    tables = (batches, candidates, releases, promotion_ledger, api_keys)
    counts = [
        sa.select(sa.func.count()).select_from(table).scalar_subquery().label(table.name) for table in tables
    ]
    revoked = sa.select(sa.func.count(api_keys.c.revoked_at)).scalar_subquery().label("revoked")
    counted = sa.select(*counts, revoked).subquery()
    shares = [rollouts.c[name] for name in ("id", "model", "challenger", "weight", "salt")]
    going = counted.outerjoin(rollouts, rollouts.c.state.in_(OPEN_STATES))
    return sa.select(counted, *shares).select_from(going).order_by(rollouts.c.id)


_QUERY = _query()
