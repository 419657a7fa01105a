"""Supervised fine-tuning of an adapter on the answers of conversations: a plain loop.

Everything random is decided by the seed and by the step's number, so a training that was killed and resumed
ends at the same bytes as one that was not (on the same kind of machine, with the same number of threads and
processes). Several processes take the steps that one would, up to rounding.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch  # noqa: TID253
from peft import PeftModel  # noqa: TID253

from ft_assets.errors import WrongInput
from ft_assets.recipe import Training
from ft_assets.training.adapters import copy_adapter, restore_adapter, trained_parameters
from ft_assets.training.batches import pack, plan_steps
from ft_assets.training.checkpoints import Checkpoints
from ft_assets.training.history import History
from ft_assets.training.packing import Pack, answer_loss, make_pack
from ft_assets.training.ranks import Ranks, share_out
from ft_assets.training.rows import Row
from ft_assets.training.schedule import learning_rate

_PACK_TOKENS = {"cpu": 1_024, "cuda": 8_192}
"""Tokens a forward pass: bounds memory (about 1.5 MB a token for 135M weights), no effect on the result."""

_VALIDATION_TOKENS = 4_096
"""Validation tokens used at least, where there are as many: enough to steer by (see `Trainer`)."""

_IDLE = Row(ids=[0], answer=[False])
"""Keeps a process busy that has no more packs while others do: its loss and its gradients are zero."""


class Trainer:
    """One training, from wherever its newest checkpoint left it.

    Args:
        model: base with a fresh adapter; only the adapter's weights change.
        rows: rows to learn.
        validation: rows to steer by; none means no early stopping, and the last weights are the best. Of many,
            the first ones are used, of as many tokens as two steps, so that a validation costs about one step.
            Their weights are not asked: a validation loss means the same whatever rows are to count for.
        ranks: the processes that share this training. Each of them runs the same `Trainer` on the same rows, and
            ends at the same weights; the first one saves.
    """

    def __init__(
        self,
        model: PeftModel,
        rows: Sequence[Row],
        validation: Sequence[Row],
        settings: Training,
        checkpoints: Checkpoints,
        ranks: Ranks = Ranks(),  # noqa: B008
    ) -> None:
        if not rows:
            raise WrongInput(
                f"no row to train on: every row is longer than `training.max_tokens: {settings.max_tokens}` or the "
                f"base's context, or the train split is empty"
            )
        self.model, self.rows, self.settings = model, rows, settings
        self.checkpoints, self.ranks = checkpoints, ranks
        first = _first_tokens(validation, max(_VALIDATION_TOKENS, 2 * settings.batch_tokens))
        self.validation = [replace(row, weight=1.0) for row in first]
        self.steps = plan_steps([len(row.ids) for row in rows], settings)
        self.weights = list(trained_parameters(model).values())
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.device = self.weights[0].device
        self.history = History()
        self.best = copy_adapter(model)
        self.resumed_from = self._resume()

    def run(self, watch: Callable[[History, int], None]) -> History:
        """Train to the end, calling `watch(history, steps)` after every step; the best weights are set at last."""
        if self.resumed_from is None:
            self._validate()
        while self.history.stopped is None:
            self._step()
            watch(self.history, len(self.steps))
        restore_adapter(self.model, self.best)
        return self.history

    def save(self) -> None:
        """Commit a checkpoint of the present step: whole tensors, from which any number of processes goes on."""
        if not self.ranks.first:
            return
        tensors = {f"adapter.{name}": weight for name, weight in copy_adapter(self.model).items()}
        tensors |= {f"best.{name}": weight for name, weight in self.best.items()}
        for at, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{at}.{name}": value.cpu() for name, value in state.items()}
        tensors |= {f"random.{name}": state for name, state in _random_states().items()}
        self.checkpoints.save(self.history.step, tensors, self.history.model_dump(mode="json"))

    def _resume(self) -> int | None:
        found = self.checkpoints.latest()
        if found is None:
            return None
        tensors, state = found
        self.history = History.model_validate(state)
        restore_adapter(self.model, _under("adapter.", tensors))
        self.best = _under("best.", tensors)
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            at, _, moment = name.partition(".")
            moments.setdefault(int(at), {})[moment] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        _set_random_states(_under("random.", tensors))
        return self.history.step

    def _step(self) -> None:
        numbers = self.steps[self.history.step]
        loss = self._accumulate(numbers)
        norm = torch.nn.utils.clip_grad_norm_(self.weights, self.settings.max_grad_norm).item()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return self.history.diverge("the loss or its gradient")
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.history.step, len(self.steps), self.settings)
        self.optimizer.step()
        tokens = sum(len(self.rows[row].ids) for row in numbers)
        self.history.add_step(loss, norm, len(numbers), tokens)
        if self.history.step % self.settings.validate_every == 0 or self.history.step == len(self.steps):
            self._validate()
            if self.history.stopped is None and self.history.step == len(self.steps):
                self.history.stopped = "finished"
            self.save()

    def _accumulate(self, numbers: Sequence[int]) -> float:
        """Gradients of a step's mean loss over its answer tokens, weighted by row; returns that loss."""
        self.model.train()
        self.optimizer.zero_grad()
        self.ranks.seed(self.settings.seed, self.history.step)
        answers = sum(self.rows[row].weight * sum(self.rows[row].answer) for row in numbers)
        total = 0.0
        for packed in self._packs(self.rows, numbers):
            loss = answer_loss(self.model, packed) / answers
            loss.backward()
            total += loss.item()
        gradients = [weight.grad for weight in self.weights if weight.grad is not None]
        return self.ranks.sum_up(gradients, total, self.device)

    @torch.no_grad()
    def _validate(self) -> None:
        if not self.validation:
            self.best, self.history.best_step = copy_adapter(self.model), self.history.step
            return
        self.model.eval()
        packs = self._packs(self.validation, range(len(self.validation)))
        total = sum(answer_loss(self.model, packed).item() for packed in packs)
        loss = self.ranks.sum_up([], total, self.device) / sum(sum(row.answer) for row in self.validation)
        if not math.isfinite(loss):
            self.history.diverge("the validation loss")
        elif self.history.add_validation(loss, self.settings.patience):
            self.best = copy_adapter(self.model)

    def _packs(self, rows: Sequence[Row], numbers: Sequence[int]) -> Iterator[Pack]:
        """This process's packs. All have as many, as processes that share weights gather them in each pass."""
        lengths = [len(row.ids) for row in rows]
        shares = share_out(numbers, lengths, self.ranks.count)
        packed = [pack(share, lengths, _PACK_TOKENS[self.device.type]) for share in shares]
        mine = [[rows[row] for row in group] for group in packed[self.ranks.number]]
        mine += [[_IDLE]] * (max(map(len, packed)) - len(mine))
        return (make_pack(group, self.device) for group in mine)


def _first_tokens(rows: Sequence[Row], most: int) -> list[Row]:
    kept: list[Row] = []
    for row in rows:
        most -= len(row.ids)
        if kept and most < 0:
            break
        kept.append(row)
    return kept


def _under(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _random_states() -> dict[str, torch.Tensor]:
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def _set_random_states(states: dict[str, torch.Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
