"""The report of a rollout that has ended: what was tried, on how much traffic, and why it ended so."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ft_assets.errors import Refused
from ft_assets.registry.ledger import Entry, entries
from ft_assets.rollout.course import course
from ft_assets.rollout.evidence import read_evidence
from ft_assets.rollout.judge import judge, weigh
from ft_assets.rollout.means import shown_means
from ft_assets.rollout.rollout import Rollout, open_rollout, rollouts_of
from ft_assets.rollout.signals import SIGNALS
from ft_assets.storage.home import Home
from ft_assets.storage.records import find_record

_REPORT = "canary.json"


def reports_due(home: Home, model: str) -> list[Rollout]:
    """Latest rollouts of candidates that have ended, and whose `canary_report` was not made yet."""
    latest = {rollout.candidate: rollout for rollout in rollouts_of(home, model)}
    return [
        rollout
        for rollout in latest.values()
        if not rollout.is_open and _reported(home, rollout) != rollout.id
    ]


def _reported(home: Home, rollout: Rollout) -> str | None:
    """The rollout of this candidate that the latest report is about."""
    record = find_record(home, rollout.model, "canary_report", rollout.candidate)
    if record is None:
        return None
    return json.loads((home.artifacts.path(record.kind, record.digest) / _REPORT).read_bytes())["rollout"]


def canary_report(home: Home, model: str, candidate: str) -> dict[str, Any]:
    """The report of a candidate's latest rollout, as JSON values.

    Raises:
        Refused: no rollout was started, or it has not ended.
    """
    found = rollouts_of(home, model, candidate)
    if not found:
        raise Refused(f"{model} {candidate} has had no canary; materialize {model}/deployment first")
    rollout = found[-1]
    if rollout.is_open:
        raise Refused(
            f"the canary of {rollout.challenger} is still {rollout.state} at {rollout.weight:.0%}; "
            f"its report is made when it has ended"
        )
    moves = _moves(home, rollout)
    evidence = read_evidence(home, rollout)
    return {
        "rollout": rollout.id,
        "candidate": candidate,
        "challenger": rollout.challenger,
        "control": rollout.control,
        "state": rollout.state,
        "started_at": rollout.started_at.isoformat(),
        "ended_at": rollout.updated_at.isoformat(),
        "ended_by": moves[-1].by,
        "verdict": moves[-1].reason,
        "steps": [_step(move) for move in moves],
        "requests": {rollout.challenger: len(evidence.of(True)), rollout.control: len(evidence.of(False))},
        "mirrored": evidence.pairs,
        "figures": weigh(rollout, evidence),
        "course": {signal.name: course(signal, evidence, rollout.plan) for signal in SIGNALS},
        "plan": rollout.plan.model_dump(mode="json"),
    }


def standing(home: Home, model: str) -> dict[str, Any]:
    """How the open rollout of a model stands now, as JSON values; looking changes nothing.

    Raises:
        Refused: none is open.
    """
    rollout = open_rollout(home, model)
    if rollout is None:
        raise Refused(
            f"{model} has no open rollout; `ft-assets history {model}` tells how the last one ended"
        )
    verdict = judge(rollout, read_evidence(home, rollout), datetime.now(UTC))
    return {
        "rollout": rollout.id,
        "candidate": rollout.candidate,
        "challenger": rollout.challenger,
        "control": rollout.control,
        "state": rollout.state,
        "shadow": rollout.is_shadow,
        "step": rollout.step,
        "weight": rollout.weight,
        "last_move": _step(_moves(home, rollout)[-1]),
        "next": verdict.move,
        "reason": verdict.reason,
        "figures": verdict.figures,
    }


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Write `canary.json` and `canary.md` into a folder."""
    (folder / _REPORT).write_text(json.dumps(report, indent=2, sort_keys=True))
    (folder / "canary.md").write_text(to_markdown(report))


def to_markdown(report: dict[str, Any]) -> str:
    """The report for people."""
    figures = report["figures"]
    lines = [
        f"# Canary of {report['challenger']}: {report['state']}",
        "",
        f"{report['verdict']} (by {report['ended_by']})",
        "",
        "| arm | requests | failed | cut off by the user | judged | mean reward | latency p50 / p95, ms |",
        "|---|---|---|---|---|---|---|",
        _arm(report["challenger"], figures["challenger"]),
        _arm(report["control"], figures["control"]),
        "",
        _difference(figures, report["plan"]["alpha"]),
        "",
        *_signals(figures.get("signals", {})),
        "",
        "| time | move | share of users | by | reason |",
        "|---|---|---|---|---|",
    ]
    moves = [
        f"| {step['at']} | {step['action']} | {step['weight']:.0%} | {step['by']} | {step['reason']} |"
        for step in report["steps"]
    ]
    return "\n".join([*lines, *moves]) + "\n"


def _moves(home: Home, rollout: Rollout) -> list[Entry]:
    """What the ledger says of a rollout, oldest first."""
    return [entry for entry in entries(home, rollout.model) if entry.details.get("rollout") == rollout.id]


def _step(move: Entry) -> dict[str, Any]:
    return {
        "at": move.at.isoformat(),
        "action": move.action,
        "weight": move.details.get("weight", 0.0),
        "by": move.by,
        "reason": move.reason,
    }


def _arm(address: str, numbers: dict[str, Any]) -> str:
    mean = "-" if numbers["mean_reward"] is None else f"{numbers['mean_reward']:.3f}"
    latency = numbers["latency_ms"]
    times = f"{latency['p50']:.0f} / {latency['p95']:.0f}" if latency else "-"
    # Figures that were written down before there was such a count have none.
    counts = " | ".join(str(numbers.get(name, "-")) for name in ("requests", "failed", "cancelled", "judged"))
    return f"| {address} | {counts} | {mean} | {times} |"


def _signals(signals: dict[str, Any]) -> list[str]:
    rows = [
        f"| {name} ({found['better']} is better) | {' | '.join(shown_means(found))} "
        f"| {found['measure']} | {found['low']:.3f} to {found['high']:.3f} |"
        for name, found in signals.items()
    ]
    return ["| signal | challenger | control | compared by | bounds |", "|---|---|---|---|---|", *rows]


def _difference(figures: dict[str, Any], alpha: float) -> str:
    if figures["difference"] is None:
        return "Not both arms were judged."
    bounds = figures["interval"]
    return (
        f"Difference of mean rewards: {figures['difference']:+.3f}, between {bounds['low']:+.3f} and "
        f"{bounds['high']:+.3f}; each bound is wrong with probability {alpha:g} at most, however often one looked."
    )
