"""What the soak serves: adapters that answer unlike each other, and rollouts that move while users ask."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from ft_assets.recipe import Base
from ft_assets.registry.ledger import append
from ft_assets.storage.home import Home
from ft_assets.storage.keys import address
from ft_assets.storage.tables import releases, rollouts

Kind = Literal["tiny", "real"]
MODELS = ("docstrings", "summaries")
RELEASES = 4
"""Of each model; beside the champion and the challenger they take turns."""
_TINY = {"name": "tiny-random", "hub": None, "package": None, "tiny": True}
_RANK = 16


@dataclass
class Stage:
    """A home whose models have releases, and how far their rollouts are.

    Attributes:
        adapter_mb: room for the adapters that are routed at once, so that the others leave memory.
        swaps: moves so far.
    """

    home: Home
    base: str
    adapter_mb: int
    releases: dict[str, list[str]]
    swaps: int = 0
    champions: dict[str, str] = field(default_factory=dict)
    _open: dict[str, tuple[str, str]] = field(default_factory=dict)

    def move(self) -> None:
        """One move of each model: shadow, a quarter, a half, then promotion, or every third time a rollback."""
        for offset, model in enumerate(MODELS):
            turn, step = divmod(self.swaps + 2 * offset, 4)
            if step == 0 or model not in self._open:
                self._begin(model, self.releases[model][(turn + 1) % RELEASES])
            elif step < 3:
                self._weigh(model, step, 0.25 * step)
            else:
                self._end(model, promoted=turn % 3 != 2)
        self.swaps += 1

    def _begin(self, model: str, challenger: str) -> None:
        champion, now, rollout = self.champions.get(model, "base"), datetime.now(UTC), secrets.token_hex(8)
        if challenger == champion:  # the last one was rolled back
            challenger = next(other for other in self.releases[model] if other != champion)
        row = {"id": rollout, "model": model, "candidate": challenger, "challenger": challenger, "step": 0}
        row |= {"control": champion, "salt": secrets.token_hex(8), "state": "running", "weight": 0.0}
        with self.home.database.write() as connection:
            plan = {"shadow": {}, "steps": [0.25, 0.5]}
            connection.execute(sa.insert(rollouts).values(**row, plan=plan, started_at=now, updated_at=now))
            self._note(
                connection, model, "canary", challenger, {"rollout": rollout, "step": 0, "weight": 0.0}
            )
        self._open[model] = (rollout, challenger)

    def _weigh(self, model: str, step: int, weight: float) -> None:
        rollout, challenger = self._open[model]
        with self.home.database.write() as connection:
            self._set(connection, rollout, step=step, weight=weight)
            self._note(
                connection, model, "step", challenger, {"rollout": rollout, "step": step, "weight": weight}
            )

    def _end(self, model: str, promoted: bool) -> None:
        rollout, challenger = self._open.pop(model)
        if promoted:
            self.champions[model] = challenger
        with self.home.database.write() as connection:
            self._set(
                connection, rollout, state="promoted" if promoted else "rolled_back", weight=float(promoted)
            )
            self._note(
                connection, model, "promote" if promoted else "rollback", challenger, {"rollout": rollout}
            )

    def _set(self, connection: sa.Connection, rollout: str, **columns: Any) -> None:
        mine = rollouts.c.id == rollout
        connection.execute(sa.update(rollouts).where(mine).values(updated_at=datetime.now(UTC), **columns))

    def _note(
        self, connection: sa.Connection, model: str, action: Any, about: str, details: dict[str, Any]
    ) -> None:
        champion = self.champions.get(model, "base")
        append(connection, model, action, about, champion, "soak", "a move of the soak", details)


def build(root: Path, kind: Kind) -> Stage:
    """Base, adapters and releases in a new home."""
    from ft_assets.bases.base_models import prepare_base

    home = Home(root)
    base, folder = prepare_base(home, Base.model_validate(_TINY) if kind == "tiny" else Base())
    make = _maker(home, folder)
    made = {model: [make(10 * at + seed) for seed in range(RELEASES)] for at, model in enumerate(MODELS)}
    size = sum(file.stat().st_size for file in home.artifacts.path("adapters", made[MODELS[0]][0]).iterdir())
    named = {model: [_release(home, model, adapter, base) for adapter in made[model]] for model in MODELS}
    return Stage(home, base, max(1, 5 * size >> 20), named)


def _maker(home: Home, base: Path) -> Callable[[int], str]:
    """Makes the adapter of a seed: random weights, strong enough to change greedy answers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    def make(seed: int) -> str:
        torch.manual_seed(seed)
        plain = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=torch.float32)
        shape = LoraConfig(
            r=_RANK, lora_alpha=4 * _RANK, target_modules="all-linear", init_lora_weights=False
        )
        tuned = get_peft_model(plain, shape)

        def fill(folder: Path) -> None:
            tuned.save_pretrained(str(folder))
            (folder / "README.md").unlink(missing_ok=True)

        return home.artifacts.write("adapters", fill)

    return make


def _release(home: Home, model: str, adapter: str, base: str) -> str:
    """Address of a release with a receipt that this home has signed."""
    from ft_assets.evaluation.receipts import issue_receipt

    zeros = ("dataset_digest", "eval_digest", "report_digest", "recipe_digest", "code_digest")
    about = {"model": model, "candidate": f"candidate-{adapter[:8]}"}
    digests = {"adapter_digest": adapter, "base_digest": base}
    verdict = {"verdict": "pass", "reasons": [], "contamination": {"checked": 0, "found": 0}}
    scores = {"base": {}, "incumbent": None, "candidate": {}}
    body = {**about, **digests, **verdict, **dict.fromkeys(zeros, "0" * 64), "scores": scores}
    row = {**about, **digests, "address": address(model, adapter), "receipt": issue_receipt(home, body).id}
    with home.database.write() as connection:
        connection.execute(sa.insert(releases).values(**row, lineage={}, released_at=datetime.now(UTC)))
    return row["address"]
