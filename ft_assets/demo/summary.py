"""What a demo leaves behind: `summary.json` for programs and a table for people, both read from the records."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ft_assets.demo.users import REPLIES
from ft_assets.recipe import Recipe
from ft_assets.storage.candidates import Candidate, list_candidates
from ft_assets.storage.home import Home
from ft_assets.storage.records import find_record
from ft_assets.storage.tables import batches, feedback, interactions, promotion_ledger, receipts, rollouts


def summarize(home: Home, recipe: Recipe, seconds: dict[str, float]) -> dict[str, Any]:
    """The facts of every candidate so far, as JSON values. `seconds` holds `total` and one figure a stage."""
    candidates = [_candidate(home, candidate) for candidate in list_candidates(home, recipe.model)]
    checks = [item.pop("contamination") for item in candidates]
    return {
        "seconds": {stage: round(value, 1) for stage, value in seconds.items()},
        "candidates": candidates,
        "feedback": _feedback(home, recipe.model),
        "contamination": {key: sum(check[key] for check in checks) for key in ("checked", "found")},
    }


def write_summary(home: Home, summary: dict[str, Any]) -> Path:
    """Leave the summary at `demo/summary.json`, whole or not at all."""
    path = home.scratch / "demo" / "summary.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(summary, indent=2) + "\n")
    return draft.replace(path)


def print_summary(summary: dict[str, Any], console: Console) -> None:
    """The same facts for people: a table of the candidates, then the reasons behind each verdict."""
    table = Table(title="Candidates", title_justify="left")
    for heading in ("", "candidate", "rows", "held-out loss", "gate", "rollout"):
        table.add_column(heading)
    for number, item in enumerate(summary["candidates"], 1):
        cells = (_rows_cell(item["rows"]), _scores_cell(item), item["gate"]["verdict"] or "not judged")
        table.add_row(str(number), item["candidate"], *cells, _rollout_cell(item), end_section=True)
    console.print(table)
    for number, item in enumerate(summary["candidates"], 1):
        _print_reasons(number, item, console)
    told, found = summary["feedback"], summary["contamination"]
    console.print(
        f"Feedback: {told['sent']} sent, {told['stored']} stored, {len(told['batches'])} batches made of it."
    )
    console.print(f"Contamination: {found['checked']} eval rows checked, {found['found']} found.")
    console.print(f"Time: {summary['seconds']['total']:.0f} s.")


def _candidate(home: Home, candidate: Candidate) -> dict[str, Any]:
    receipt = _receipt(home, candidate)
    return {
        "candidate": candidate.key,
        "adapter_digest": _digest(home, candidate, candidate.recipe.final_adapter),
        "dataset_digest": _digest(home, candidate, "dataset"),
        "rows": _row_counts(home, candidate),
        "scores": receipt.get("scores") or {"base": None, "incumbent": None, "candidate": None},
        "gate": {
            "verdict": receipt.get("verdict"),
            "reasons": receipt.get("reasons", []),
            "receipt": receipt.get("id"),
        },
        "rollout": _rollout(home, candidate),
        "contamination": receipt.get("contamination", {"checked": 0, "found": 0}),
    }


def _receipt(home: Home, candidate: Candidate) -> dict[str, Any]:
    table = receipts
    mine = (table.c.model == candidate.model) & (table.c.candidate == candidate.key)
    row = home.database.row(sa.select(table).where(mine).order_by(table.c.issued_at.desc()))
    return {**json.loads(row["body"]), "id": row["id"]} if row else {}


def _digest(home: Home, candidate: Candidate, asset: str) -> str | None:
    record = find_record(home, candidate.model, asset, candidate.key)
    return record.digest if record else None


def _row_counts(home: Home, candidate: Candidate) -> dict[str, int]:
    table = batches
    mine = (table.c.model == candidate.model) & table.c.key.in_(candidate.batches)
    counts = {"raw": sum(row["rows"] for row in home.database.rows(sa.select(table.c.rows).where(mine)))}
    for name, file in (("curated", "rows"), ("rejected", "rejected")):
        counts[name] = sum(
            _rows_in(home, candidate.model, "curated_batch", key, file) for key in candidate.batches
        )
    for side in ("train", "validation", "eval"):
        counts[side] = _rows_in(home, candidate.model, f"{side}_split", candidate.key, "rows")
    return counts


def _rows_in(home: Home, model: str, asset: str, partition: str, file: str) -> int:
    record = find_record(home, model, asset, partition)
    if record is None:
        return 0
    return pq.read_metadata(home.artifacts.path(record.kind, record.digest) / f"{file}.parquet").num_rows


def _rollout(home: Home, candidate: Candidate) -> dict[str, Any]:
    mine = (rollouts.c.model == candidate.model) & (rollouts.c.candidate == candidate.key)
    row = home.database.row(sa.select(rollouts).where(mine).order_by(rollouts.c.started_at.desc()))
    if row is None:
        return {"state": None, "steps": [], "requests": {}}
    moves = sa.select(promotion_ledger.c.action, promotion_ledger.c.reason, promotion_ledger.c.at).where(
        promotion_ledger.c.model == candidate.model,
        promotion_ledger.c.address == row["challenger"],
        promotion_ledger.c.at >= row["started_at"],
    )
    steps = [
        {**move, "at": move["at"].isoformat()}
        for move in home.database.rows(moves.order_by(promotion_ledger.c.seq))
    ]
    answered = sa.select(interactions.c.address).where(interactions.c.rollout == row["id"])
    requests = Counter(item["address"] for item in home.database.rows(answered))
    return {"state": row["state"], "steps": steps, "requests": dict(requests)}


def _feedback(home: Home, model: str) -> dict[str, Any]:
    told = home.database.rows(sa.select(feedback.c.inference_id).where(feedback.c.model == model))
    sent = home.database.rows(sa.select(interactions.c.inference_id).where(interactions.c.model == model))
    made = sa.select(batches.c.key).where(batches.c.model == model, batches.c.origin == "feedback")
    keys = [row["key"] for row in home.database.rows(made.order_by(batches.c.key))]
    return {"sent": len(sent) * len(REPLIES), "stored": len(told), "batches": keys}


def _rows_cell(rows: dict[str, int]) -> str:
    sides = (f"{rows[side]} {side}" for side in ("train", "validation", "eval"))
    return "\n".join([*sides, f"{rows['rejected']} rejected of {rows['raw']}"])


def _scores_cell(item: dict[str, Any]) -> str:
    lines = [
        f"{score['loss']:.3f} {arm}" for arm, score in item["scores"].items() if score and "loss" in score
    ]
    return "\n".join(lines) or "not judged"


def _rollout_cell(item: dict[str, Any]) -> str:
    rollout = item["rollout"]
    if rollout["state"] is None:
        return "none: not released"
    lines = [f"{count} requests {address}" for address, count in rollout["requests"].items()]
    return "\n".join([rollout["state"], *lines])


def _print_reasons(number: int, item: dict[str, Any], console: Console) -> None:
    console.print(f"[bold]{number}. gate: {item['gate']['verdict'] or 'not judged'}[/]")
    for reason in item["gate"]["reasons"]:
        console.print(f"   · {escape(reason)}", soft_wrap=True, highlight=False)
    for step in item["rollout"]["steps"]:
        console.print(f"   {step['action']}: {escape(step['reason'])}", soft_wrap=True, highlight=False)
    console.print()
