"""Real little adapters, released the way the registry does it, for a service to serve."""

from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from ft_assets.evaluation.receipts import issue_receipt
from ft_assets.registry.ledger import append
from ft_assets.storage.home import Home
from ft_assets.storage.keys import address
from ft_assets.storage.tables import releases, rollouts


def make_adapter(home: Home, base: Path, seed: int, scale: float = 1.0) -> str:
    """Digest of a random LoRA adapter, strong enough to change greedy answers of the tiny base.

    Its weights are multiplied by `scale`.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=torch.float32)
    settings = LoraConfig(r=4, lora_alpha=64, target_modules="all-linear", init_lora_weights=False)
    tuned = get_peft_model(model, settings)
    for name, weight in tuned.named_parameters():
        if "lora_" in name:
            weight.data *= scale

    def fill(folder: Path) -> None:
        tuned.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)

    return home.artifacts.write("adapters", fill)


def release_adapter(home: Home, model: str, adapter: str, base: str, verdict: str = "pass") -> str:
    """Address of a release whose receipt is signed by this home."""
    name = address(model, adapter)
    body = {
        "model": model,
        "candidate": f"candidate-{adapter[:8]}",
        "adapter_digest": adapter,
        "base_digest": base,
        "dataset_digest": "0" * 64,
        "eval_digest": "0" * 64,
        "report_digest": "0" * 64,
        "recipe_digest": "0" * 64,
        "code_digest": "0" * 64,
        "verdict": verdict,
        "reasons": [],
        "scores": {"base": {}, "incumbent": None, "candidate": {}},
        "contamination": {"checked": 0, "found": 0},
    }
    receipt = issue_receipt(home, body)
    row = {"address": name, "model": model, "candidate": body["candidate"], "receipt": receipt.id}
    digests = {"adapter_digest": adapter, "base_digest": base}
    with home.database.write() as connection:
        connection.execute(
            sa.insert(releases).values(**row, **digests, lineage={}, released_at=datetime.now(UTC))
        )
    return name


def promote(home: Home, model: str, champion: str) -> None:
    """Make an address the champion."""
    with home.database.write() as connection:
        append(connection, model, "promote", champion, champion, "tests", "for a test", {})


def start_rollout(home: Home, model: str, challenger: str, control: str, weight: float) -> str:
    """Id of a running rollout."""
    now = datetime.now(UTC)
    row = {"id": f"rollout-{model}", "model": model, "candidate": "any", "challenger": challenger}
    plan = {"control": control, "salt": f"salt-{model}", "state": "running", "step": 0, "weight": weight}
    with home.database.write() as connection:
        connection.execute(sa.insert(rollouts).values(**row, **plan, plan={}, started_at=now, updated_at=now))
    return row["id"]


def set_weight(home: Home, model: str, weight: float) -> None:
    """Change the challenger's share."""
    with home.database.write() as connection:
        connection.execute(sa.update(rollouts).where(rollouts.c.model == model).values(weight=weight))
