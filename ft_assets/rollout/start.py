"""Starting a canary, or letting a held one go on."""

import secrets
from datetime import UTC, datetime

import sqlalchemy as sa

from ft_assets.errors import Refused
from ft_assets.recipe_rollout import Rollout as Plan
from ft_assets.registry.ledger import BASE, append, champion_query
from ft_assets.registry.releases import proof_of, release_of
from ft_assets.registry.routing import OPEN_STATES
from ft_assets.rollout.rollout import Rollout, rollouts_of
from ft_assets.storage.candidates import get_candidate
from ft_assets.storage.home import Home
from ft_assets.storage.releases import Release
from ft_assets.storage.tables import rollouts


def start(home: Home, model: str, candidate: str, by: str, run: str | None = None) -> Rollout:
    """Give a released candidate its first share of traffic, against the champion (or the base).

    For a candidate whose rollout is running this changes nothing, so a crashed caller may call again; one
    whose rollout is held goes on at its step, with new counts. A paused one stays paused. `run`, for the ledger, is the
    Dagster run that does it.

    Raises:
        Refused: it was not released, its proof no longer holds, it is the champion, or another runs.
    """
    release = release_of(home, model, candidate)
    chosen = get_candidate(home, model, candidate)
    proof_of(home, chosen)
    with home.database.write() as connection:
        champion: str = connection.scalar(sa.select(champion_query(model))) or BASE
        is_open = sa.and_(rollouts.c.model == model, rollouts.c.state.in_(OPEN_STATES))
        present = connection.execute(sa.select(rollouts).where(is_open)).mappings().first()
        if present is None:
            _begin(connection, release, champion, chosen.recipe.rollout, by, run)
        elif present["candidate"] != candidate:
            raise Refused(
                f"{present['challenger']} is in its canary ({present['state']}), and a model has one at a time; "
                f"wait for its end, or end it by `ft-assets rollback {model}`"
            )
        elif present["state"] == "held":
            _go_on(connection, dict(present), champion, by, run)
    return rollouts_of(home, model, candidate)[-1]


def _begin(
    connection: sa.Connection, release: Release, champion: str, plan: Plan, by: str, run: str | None = None
) -> None:
    if release.address == champion:
        raise Refused(f"{release.address} is the champion already")
    now = datetime.now(UTC)
    row = {
        "id": secrets.token_hex(8),
        "model": release.model,
        "candidate": release.candidate,
        "challenger": release.address,
        "control": champion,
        "salt": secrets.token_hex(16),
        "state": "running",
        "step": 0,
        "weight": plan.shares[0],
        "plan": plan.model_dump(mode="json"),
        "started_at": now,
        "updated_at": now,
    }
    connection.execute(sa.insert(rollouts).values(row))
    share = "as a shadow" if plan.shadow else f"with {plan.steps[0]:.0%} of users"
    reason = f"{release.address} starts {share} against {champion}"
    details = {"rollout": row["id"], "step": 0, "weight": plan.shares[0], "run": run}
    append(connection, release.model, "canary", release.address, champion, by, reason, details)


def _go_on(connection: sa.Connection, row: dict, champion: str, by: str, run: str | None) -> None:
    going = {"state": "running", "updated_at": datetime.now(UTC)}
    connection.execute(sa.update(rollouts).where(rollouts.c.id == row["id"]).values(going))
    details = {"rollout": row["id"], "step": row["step"], "weight": row["weight"], "run": run}
    reason = f"goes on at {row['weight']:.0%} after it was held"
    append(connection, row["model"], "step", row["challenger"], champion, by, reason, details)
