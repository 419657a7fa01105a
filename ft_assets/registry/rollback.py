"""Going back: a person ends a running canary, or gives traffic to an earlier champion, in one command.

Kept apart from Dagster, so that it takes a second and works while the orchestrator is down.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from ft_assets.errors import Refused, WrongInput
from ft_assets.registry.ledger import BASE, Entry, append, champion_query, entries
from ft_assets.registry.names import release_named
from ft_assets.registry.routing import OPEN_STATES
from ft_assets.storage.home import Home
from ft_assets.storage.releases import Release, find_release
from ft_assets.storage.tables import rollouts


@dataclass(frozen=True)
class Rollback:
    """What a rollback did. `ended` is the challenger whose rollout it ended, if one ran."""

    model: str
    left: str
    champion: str
    ended: str | None


def rollback(home: Home, model: str, to: str | None, by: str, reason: str) -> Rollback:
    """Take the challenger off traffic if a rollout is open; else make the previous champion serve again.

    Args:
        home: whose ledger is written.
        model: name of the model.
        to: a release by any of its names, or `base`: make this the champion, whatever runs now.
        by: the person who asks.
        reason: why, for the ledger.

    Raises:
        WrongInput: `to` names no release of this model.
        Refused: there is nothing to go back to, the target's bytes were changed, or someone else moved the
            model at the same moment.
    """
    champion, rollout = _present(home, model)
    target = _target(home, model, to, champion, rollout is not None)
    _verify(home, target, champion)
    left = rollout["challenger"] if rollout is not None and target == champion else champion
    ended = rollout["challenger"] if rollout else None
    details = {"rollout": rollout["id"] if rollout else None, "ended": ended}
    with home.database.write() as connection:
        if not _unchanged(connection, model, champion, rollout):
            raise Refused(
                f"{model} was moved by someone else at the same moment; see `ft-assets history {model}`, "
                "and repeat the command if it is still wanted"
            )
        if rollout is not None:
            over = {"state": "rolled_back", "weight": 0.0, "updated_at": datetime.now(UTC)}
            connection.execute(sa.update(rollouts).where(rollouts.c.id == rollout["id"]).values(over))
        append(connection, model, "rollback", left, target, by, reason, details)
    return Rollback(model, left, target, ended)


def previous_champion(history: list[Entry]) -> str | None:
    """What served before the present champion was promoted, from a model's whole ledger, oldest first.

    Rolling back twice goes two champions back: a champion that was rolled back is never returned to.
    """
    line = [BASE]
    for entry in history:
        if entry.champion in line:
            del line[line.index(entry.champion) + 1 :]
        else:
            line.append(entry.champion)
    return line[-2] if len(line) > 1 else None


def _present(home: Home, model: str) -> tuple[str, dict | None]:
    with home.database.read() as connection:
        rollout = _open_rollout(connection, model)
        champion: str = connection.scalar(sa.select(champion_query(model))) or BASE
    return champion, rollout


def _open_rollout(connection: sa.Connection, model: str) -> dict | None:
    query = sa.select(rollouts.c.id, rollouts.c.challenger).where(
        rollouts.c.model == model, rollouts.c.state.in_(OPEN_STATES)
    )
    row = connection.execute(query).mappings().first()
    return dict(row) if row else None


def _unchanged(connection: sa.Connection, model: str, champion: str, rollout: dict | None) -> bool:
    now = connection.scalar(sa.select(champion_query(model)))
    return now == champion and _open_rollout(connection, model) == rollout


def _target(home: Home, model: str, to: str | None, champion: str, canary: bool) -> str:
    if to is not None:
        target = BASE if to == BASE else _release(home, model, to).address
    else:
        history = entries(home, model)
        if not history:
            raise Refused(f"{model} was never deployed; `ft-assets history` lists what was")
        target = champion if canary else previous_champion(history)
    if target is None:
        raise Refused(f"{model} has nothing to go back to: the base model serves, and no rollout is running")
    if target == champion and not canary:
        raise Refused(f"{model} is already served by {target}, and no rollout is running")
    return target


def _release(home: Home, model: str, name: str) -> Release:
    """The release that a name of the model's, or what follows its `@`, stands for."""
    release = release_named(home, name if "@" in name else f"{model}@{name}")
    if release.model != model:
        raise WrongInput(f"{name} is a release of {release.model}, which cannot serve as {model}")
    return release


def _verify(home: Home, target: str, champion: str) -> None:
    # What serves already stays, whatever its bytes: ending a bad canary must not depend on them.
    if target not in (BASE, champion):
        home.artifacts.path("adapters", find_release(home, target).adapter_digest)
