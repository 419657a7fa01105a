"""Makes candidates that have been through the gate: real artifacts, records and signed receipts, no model."""

import json
from pathlib import Path
from typing import Any

from ft_assets.evaluation.receipts import issue_receipt
from ft_assets.recipe import Recipe
from ft_assets.storage.artifacts import Kind
from ft_assets.storage.candidates import Candidate, open_candidate
from ft_assets.storage.code import code_digest
from ft_assets.storage.home import Home
from ft_assets.storage.records import Record, write_record


def hold(home: Home, model: str, asset: str, partition: str, kind: Kind, files: dict[str, str]) -> str:
    """Let an asset partition hold an artifact of the given files; returns its digest."""

    def fill(folder: Path) -> None:
        for name, text in files.items():
            (folder / name).write_text(text)

    digest = home.artifacts.write(kind, fill)
    write_record(home, Record(model, asset, partition, kind, digest))
    return digest


def adapter(name: str, base: str, train: str) -> dict[str, str]:
    """Files of an adapter that was trained on the given digests."""
    training = json.dumps({"base_digest": base, "train_digest": train, "settings": {}})
    return {"adapter_model.safetensors": name, "training.json": training}


def attempt(home: Home, recipe: Recipe, name: str, incumbent: str | None = None) -> tuple[Candidate, dict]:
    """A candidate with everything materialized up to its report, and the body of a passing receipt."""
    candidate = open_candidate(home, recipe, [f"batch-{name}"], incumbent, [f"because of {name}"])
    model, key = recipe.model, candidate.key
    manifest = {"batches": {f"batch-{name}": "b" * 64}, "rows": 10, "sides": {"train": 8, "eval": 2}}
    base = hold(home, "base_models", recipe.base.name, "", "bases", {"config.json": "{}"})
    splits = {
        side: hold(home, model, f"{side}_split", key, "datasets", {"rows.parquet": f"{side} {name}"})
        for side in ("train", "validation", "eval")
    }
    digests = {
        "adapter_digest": hold(home, model, "adapter", key, "adapters", adapter(name, base, splits["train"])),
        "dataset_digest": hold(
            home, model, "dataset", key, "datasets", {"manifest.json": json.dumps(manifest)}
        ),
        "eval_digest": splits["eval"],
        "report_digest": hold(home, model, "eval_report", key, "reports", {"report.md": f"report {name}"}),
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
        "scores": {"base": {"loss": 3.0}, "incumbent": None, "candidate": {"loss": 2.0}},
        "contamination": {"checked": 2, "found": 0},
    }
    return candidate, body


def passed(home: Home, recipe: Recipe, name: str, incumbent: str | None = None, **changes: Any) -> Candidate:
    """A candidate with a signed receipt; `changes` replace fields of the receipt's body."""
    candidate, body = attempt(home, recipe, name, incumbent)
    issue_receipt(home, {**body, **changes})
    return candidate
