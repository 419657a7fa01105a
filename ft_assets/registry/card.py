"""The release for readers: `release.json` for programs, and a model card for people."""

import json
from pathlib import Path
from typing import Any

from ft_assets.recipe import Recipe, Training
from ft_assets.recipe_training import Method
from ft_assets.storage.candidates import Candidate
from ft_assets.storage.costs import Sum
from ft_assets.storage.releases import Release

METHODS: dict[Method, str] = {
    "lora": "LoRA",
    "rslora": "rsLoRA",
    "dora": "DoRA",
    "qlora": "QLoRA",
    "full": "full fine-tuning",
}
"""Training methods as the field spells them."""


def write_card(folder: Path, release: Release, candidate: Candidate) -> None:
    """Write `release.json` and `card.md` into a folder. The same release gives the same bytes."""
    body = {**vars(release), "released_at": release.released_at.isoformat()}
    (folder / "release.json").write_text(json.dumps(body, indent=2, sort_keys=True))
    (folder / "card.md").write_text(card(release, candidate))


def card(release: Release, candidate: Candidate) -> str:
    """The model card, in markdown."""
    lineage, recipe = release.lineage, candidate.recipe
    facts = {
        "owner": lineage["owner"],
        "base": f"{lineage['base']['name']} ({recipe.base.license}), `{release.base_digest[:12]}`",
        "adapter": f"{_method(lineage, recipe)}, `{release.adapter_digest[:12]}`",
        "candidate": candidate.key,
        "dataset": f"`{lineage['dataset'][:12]}`, {_counts(lineage['rows'])}",
        "batches": ", ".join(f"{key} `{digest[:12]}`" for key, digest in lineage["batches"].items()),
        "recipe": f"`{lineage['recipe'][:12]}`",
        "code": f"`{lineage['code'][:12]}`",
        "gate receipt": f"`{release.receipt[:12]}`",
        "follows": ", ".join(lineage["incumbents"]) or "nothing: the first of its model",
        **_cost(lineage),
        "released": release.released_at.isoformat(timespec="seconds"),
    }
    table = [f"| {name} | {value} |" for name, value in facts.items()]
    return "\n".join(
        [
            f"# {release.address}",
            "",
            recipe.description,
            "",
            "| | |",
            "|---|---|",
            *table,
            "",
            *_scores(lineage),
        ]
    )


def _method(lineage: dict[str, Any], recipe: Recipe) -> str:
    # What a search found is in the lineage; releases from before that was kept have the recipe's.
    trained = Training.model_validate(lineage.get("settings", recipe.training))
    aligned = f", aligned by {recipe.alignment.method.upper()}" if recipe.alignment else ""
    rank = "" if trained.method == "full" else f", rank {trained.rank}"
    return f"{METHODS[trained.method]}{rank}{aligned}"


def _cost(lineage: dict[str, Any]) -> dict[str, str]:
    """What the candidate had cost; nothing for a release from before that was counted."""
    return {"cost": Sum(**lineage["cost"]).words()} if "cost" in lineage else {}


def _counts(rows: dict[str, int]) -> str:
    return ", ".join(f"{count} {side}" for side, count in rows.items()) + " rows"


def _scores(lineage: dict[str, Any]) -> list[str]:
    """Scores of each arm on the same held-out rows; a null arm had nothing to score."""
    arms = {arm: scores for arm, scores in lineage["scores"].items() if scores}
    metrics = sorted(
        {name for scores in arms.values() for name, value in scores.items() if isinstance(value, int | float)}
    )
    lines = ["## Held-out scores", "", f"| arm | {' | '.join(metrics)} |", "|---" * (len(metrics) + 1) + "|"]
    for arm, scores in arms.items():
        values = (f"{scores[name]:.4g}" if name in scores else "-" for name in metrics)
        lines.append(f"| {arm} | {' | '.join(values)} |")
    return [*lines, ""]
