"""Counts what a child process uses while it runs, so that a child or a run that is killed is counted too.

The asset that starts a child leaves `attempt.json` in the work folder and takes it away when the child has ended and
its cost is written down. Where the asset itself was killed the file stays, and the next attempt settles it first.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ft_assets.errors import Refused
from ft_assets.recipe_cost import Cost
from ft_assets.storage.costs import Expense, Stage, costs_of, record_cost, show_money
from ft_assets.storage.home import Home

STOPPED_BY_BUDGET = "budget: "
"""How `stopped` of a `training.json` begins where a budget stopped the training."""

_ATTEMPT = "attempt.json"


class Attempt(BaseModel):
    """One run of a stage's child process: whose it is, what a device costs, and when it began."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    model: str
    candidate: str
    stage: Stage
    run_id: str
    cost: Cost | None
    spent: float  # money of the candidate's attempts before this one
    began_at: float  # Unix time
    process: int  # of the asset

    def seconds(self) -> float:
        """Seconds since it began."""
        return max(0.0, time.time() - self.began_at)

    def total(self, devices: int) -> float | None:
        """Money of the candidate so far, this attempt and those before it; None where no price is known."""
        if self.cost is None:
            return None
        return self.spent + self.cost.price_per_hour * devices * self.seconds() / 3600

    def expense(self, seconds: float, used: "Usage") -> Expense:
        """What it has cost after some seconds."""
        device_seconds, cost = seconds * used.devices, self.cost
        watts = None if cost is None else cost.watts
        return Expense(
            attempt=self.id,
            model=self.model,
            candidate=self.candidate,
            stage=self.stage,
            run_id=self.run_id,
            device=used.device,
            devices=used.devices,
            device_seconds=round(device_seconds, 3),
            tokens=used.tokens,
            watt_hours=None if watts is None else watts * device_seconds / 3600,
            money=None if cost is None else cost.price_per_hour * device_seconds / 3600,
            currency=None if cost is None else cost.currency,
        )


class Usage(BaseModel):
    """What a child tells of itself while it runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = ""  # empty: none was used, or nothing was told yet
    devices: int = 1
    tokens: int = 0


class Meter:
    """The cost of the attempt that was metered; there once it has ended."""

    expense: Expense

    @property
    def shown(self) -> Mapping[str, Any]:
        """Metadata for the asset."""
        names = ("device_seconds", "watt_hours", "money", "currency")
        figures = {name: getattr(self.expense, name) for name in names}
        return {name: value for name, value in figures.items() if value is not None}


@contextmanager
def metered(
    home: Home, whose: tuple[str, str], stage: Stage, cost: Cost | None, work: Path, run_id: str
) -> Iterator[Meter]:
    """Count what the child that the block runs uses, however the block ends.

    Args:
        whose: model and candidate.
        cost: the present recipe's section, so that a budget can be raised for a candidate that has spent it.
        work: the child's work folder.

    Raises:
        Refused: the candidate has spent its budget; the block is not entered.
    """
    _settle(home, work)
    spent = _spent(home, whose, cost)
    _refuse_spent(whose, stage, cost, spent)
    for told in _told(work):
        told.unlink()
    attempt = _begin(whose, stage, cost, run_id, spent)
    _write_whole(work / _ATTEMPT, attempt.model_dump_json(indent=2))
    meter, clock = Meter(), time.monotonic()
    try:
        yield meter
    finally:
        meter.expense = attempt.expense(time.monotonic() - clock, read_usage(work))
        record_cost(home, meter.expense)
        (work / _ATTEMPT).unlink(missing_ok=True)


def read_attempt(work: Path) -> Attempt | None:
    """The attempt that this process is run for; None where it is run by hand, or whoever ran it is gone."""
    try:
        attempt = Attempt.model_validate_json((work / _ATTEMPT).read_text())
        os.kill(attempt.process, 0)
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    return attempt


def tell_usage(work: Path, usage: Usage, process: int = 0) -> None:
    """Leave word of what this process has used so far.

    Args:
        process: number of this process where several work for one job; their tokens are added up.
    """
    _write_whole(work / f"usage-{process}.json", usage.model_dump_json())


def read_usage(work: Path) -> Usage:
    """What the processes of a job have told so far."""
    told = [Usage.model_validate_json(path.read_text()) for path in _told(work)]
    return Usage(
        device=max((each.device for each in told), default=""),
        devices=max((each.devices for each in told), default=1),
        tokens=sum(each.tokens for each in told),
    )


def _begin(whose: tuple[str, str], stage: Stage, cost: Cost | None, run_id: str, spent: float) -> Attempt:
    model, candidate = whose
    return Attempt(
        id=os.urandom(16).hex(),
        model=model,
        candidate=candidate,
        stage=stage,
        run_id=run_id,
        cost=cost,
        spent=spent,
        began_at=time.time(),
        process=os.getpid(),
    )


def _settle(home: Home, work: Path) -> None:
    """Write down an attempt whose asset was killed before it could; it lasted until its child's last word."""
    path = work / _ATTEMPT
    if not path.exists():
        return
    attempt = Attempt.model_validate_json(path.read_text())
    ended_at = max(file.stat().st_mtime for file in (path, *_told(work)))
    record_cost(home, attempt.expense(max(0.0, ended_at - attempt.began_at), read_usage(work)))
    path.unlink()


def _spent(home: Home, whose: tuple[str, str], cost: Cost | None) -> float:
    if cost is None:
        return 0.0
    return sum(each.money or 0.0 for each in costs_of(home, *whose) if each.currency == cost.currency)


def _refuse_spent(whose: tuple[str, str], stage: Stage, cost: Cost | None, spent: float) -> None:
    if cost is None or cost.budget is None or spent < cost.budget:
        return
    raise Refused(
        f"the {stage} of {' '.join(whose)} was not begun: the candidate has cost "
        f"{show_money(spent, cost.currency)}, and `cost.budget` is {show_money(cost.budget, cost.currency)}; raise "
        f"`cost.budget` in the recipe of {whose[0]}, and materialize it again"
    )


def _told(work: Path) -> list[Path]:
    return sorted(work.glob("usage-*.json"))


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text)
    draft.replace(path)
