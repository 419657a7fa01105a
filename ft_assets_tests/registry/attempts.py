"""Makes candidates that have been through the gate: real artifacts, records and signed receipts, no model."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.evaluation.receipts import issue_receipt
from ft_assets.recipe import Recipe
from ft_assets.sources.example import Example, Message, to_table
from ft_assets.storage.artifacts import Kind
from ft_assets.storage.candidates import Candidate, open_candidate
from ft_assets.storage.code import code_digest
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, write_record


def hold(home: Home, model: str, asset: str, partition: str, kind: Kind, files: dict[str, Any]) -> str:
    """Let an asset partition hold an artifact of the given files (texts or tables); returns its digest."""

    def fill(folder: Path) -> None:
        for name, content in files.items():
            if isinstance(content, pa.Table):
                pq.write_table(content, folder / name)
            else:
                (folder / name).write_text(content)

    digest = home.artifacts.write(kind, fill)
    write_record(home, Record(model, asset, partition, kind, digest))
    return digest


def adapter(name: str, base: str, train: str) -> dict[str, str]:
    """Files of an adapter that was trained on the given digests."""
    training = json.dumps({"base_digest": base, "train_digest": train, "settings": {}})
    return {"adapter_model.safetensors": name, "training.json": training}


def row(text: str, parents: Sequence[str] = ()) -> Example:
    """A row of data; the same text is the same row."""
    return Example(
        messages=(Message(role="user", content=text), Message(role="assistant", content=f"Return {text}.")),
        source="test",
        license="MIT",
        batch="batch-one",
        parents=tuple(parents),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def split(side: str, name: str) -> pa.Table:
    """A row that every candidate has on this side, and one that only this candidate has, made from it."""
    return to_table([row(f"{side} of all"), row(f"{side} of {name}", [row(f"{side} of all").id])])


def report(name: str) -> dict[str, Any]:
    """Files of a passing report; answers are the same for every candidate but to one row."""
    said = {"first": "the same", "second": name}
    rows = [
        {"arm": "candidate", "id": id, "prompt": f"{id}?", "reference": "Return it.", "answer": answer}
        for id, answer in said.items()
    ]
    return {
        "scores.json": json.dumps({"means": SCORES}),
        "gate.json": json.dumps({"verdict": "pass"}),
        "report.md": f"report {name}",
        "rows.parquet": pa.Table.from_pylist(rows),
    }


SCORES = {"base": {"loss": 3.0}, "incumbent": None, "candidate": {"loss": 2.0}}


def attempt(home: Home, recipe: Recipe, name: str, incumbent: str | None = None) -> tuple[Candidate, dict]:
    """A candidate with everything materialized up to its report, and the body of a passing receipt."""
    candidate = open_candidate(home, recipe, [f"batch-{name}"], incumbent, [f"because of {name}"])
    model, key = recipe.model, candidate.key
    manifest = {"batches": {f"batch-{name}": "b" * 64}, "rows": 10, "sides": {"train": 8, "eval": 2}}
    base = hold(home, "base_models", recipe.base.name, "", "bases", {"config.json": "{}"})
    splits = {
        side: hold(home, model, f"{side}_split", key, "datasets", {"rows.parquet": split(side, name)})
        for side in ("train", "validation", "eval")
    }
    digests = {
        "adapter_digest": hold(home, model, "adapter", key, "adapters", adapter(name, base, splits["train"])),
        "dataset_digest": hold(
            home, model, "dataset", key, "datasets", {"manifest.json": json.dumps(manifest)}
        ),
        "eval_digest": splits["eval"],
        "report_digest": hold(home, model, "eval_report", key, "reports", report(name)),
        "base_digest": base,
    }
    body = {
        "model": model,
        "candidate": key,
        **digests,
        "recipe_digest": recipe.digest(),
        "code_digest": code_digest(),
        "verdict": "pass",
        "reasons": ["better than the base"],
        "scores": SCORES,
        "contamination": {"checked": 2, "found": 0},
    }
    return candidate, body


def passed(home: Home, recipe: Recipe, name: str, incumbent: str | None = None, **changes: Any) -> Candidate:
    """A candidate with a signed receipt; `changes` replace fields of the receipt's body."""
    candidate, body = attempt(home, recipe, name, incumbent)
    issue_receipt(home, {**body, **changes})
    return candidate
