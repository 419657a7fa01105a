"""Who answers: the champion, and for a share of the users the challenger of the running rollout."""

import hashlib
from dataclasses import dataclass

import sqlalchemy as sa

from ft_assets.registry.ledger import champion_query
from ft_assets.storage.home import Home
from ft_assets.storage.tables import releases, rollouts

OPEN_STATES = ("running", "held", "paused")
"""States in which a rollout has traffic. A held or paused one keeps its share while a person decides."""


@dataclass(frozen=True)
class Arm:
    """What may answer. The base model has the address `base` and no adapter."""

    address: str
    adapter_digest: str | None


@dataclass(frozen=True)
class Route:
    """How traffic of one model is shared now. `weight` is the challenger's share, from 0 to 1."""

    champion: Arm
    challenger: Arm | None
    weight: float
    salt: str
    rollout: str | None


def route(home: Home, model: str) -> Route:
    """The present route, by one cheap query: a reader never sees half a promotion."""
    champions = sa.select(champion_query(model).label("address")).subquery()
    champion, challenger = releases.alias(), releases.alias()
    is_open = sa.and_(rollouts.c.model == model, rollouts.c.state.in_(OPEN_STATES))
    joined = (
        champions.outerjoin(champion, champion.c.address == champions.c.address)
        .outerjoin(rollouts, is_open)
        .outerjoin(challenger, challenger.c.address == rollouts.c.challenger)
    )
    columns = (
        champions.c.address.label("champion"),
        champion.c.adapter_digest.label("champion_digest"),
        challenger.c.adapter_digest.label("challenger_digest"),
        *(rollouts.c[name] for name in ("id", "challenger", "weight", "salt")),
    )
    row = home.database.row(sa.select(*columns).select_from(joined))
    assert row is not None  # the subquery of the champion always gives one row
    arm = Arm(row["champion"], row["champion_digest"])
    if row["id"] is None:
        return Route(arm, None, 0.0, "", None)
    challenging = Arm(row["challenger"], row["challenger_digest"])
    return Route(arm, challenging, row["weight"], row["salt"], row["id"])


def choose(route: Route, user: str) -> Arm:
    """The arm of a user (any stable text: a user or session id).

    Sticky: the same user stays with the same arm while the weight stays, and a challenger's user stays
    with the challenger when the weight rises. A new rollout has a new salt and draws users afresh.
    """
    if route.challenger is None:
        return route.champion
    draw = hashlib.sha256(f"{route.salt}\0{user}".encode()).digest()
    share = int.from_bytes(draw[:6], "big") / 2**48
    return route.challenger if share < route.weight else route.champion
