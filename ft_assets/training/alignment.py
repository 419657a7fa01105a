"""Preference training through TRL: an adapter learns from rows of token ids, held to what it was before.

TRL (1.16) keeps a frozen copy of a PEFT model's adapter as the reference of DPO and KTO, so that is the SFT adapter
and not the bare base; a test proves it. Its trainers would render and tokenize rows in their own way: they are given
the ids that SFT, evaluation and serving use.
"""

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch  # noqa: TID253
from datasets import Dataset  # noqa: TID253
from peft import PeftModel  # noqa: TID253
from transformers import (  # noqa: TID253
    AutoModelForCausalLM,
    PrinterCallback,
    Trainer,
    TrainerCallback,
)
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer  # noqa: TID253 # pyright: ignore[reportPrivateImportUsage]
from trl.experimental.orpo import ORPOConfig, ORPOTrainer  # noqa: TID253

from ft_assets.errors import WrongInput
from ft_assets.recipe_training import Alignment
from ft_assets.training.preferences import Judged, Pair

_ROWS = {"dpo": 2, "orpo": 2, "kto": 4}
"""Rows a forward pass on a CPU, at most: four sequences, which bounds memory. A GPU takes a step's rows at once."""


class _PlainDpo(DPOTrainer):
    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


class _PlainKto(KTOTrainer):
    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset


class _PlainOrpo(ORPOTrainer):
    def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:
        return feature


def load_to_align(base: Path, adapter: Path, device: torch.device) -> PeftModel:
    """The frozen base with a trained adapter, its weights free to change further."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=dtype)
    return PeftModel.from_pretrained(model, adapter, is_trainable=True).to(device)


def make_trainer(
    model: PeftModel,
    tokenizer: Any,
    rows: Sequence[Pair] | Sequence[Judged],
    settings: Alignment,
    folder: Path,
) -> Trainer:
    """TRL's trainer of the recipe's method, ready to train.

    Args:
        rows: pairs for `dpo` and `orpo`, judged answers for `kto`.
        folder: where TRL may write; no checkpoint is.
    """
    device = next(model.parameters()).device
    together = (
        settings.batch_size
        if device.type == "cuda"
        else math.gcd(settings.batch_size, _ROWS[settings.method])
    )
    trainer, config, table = _METHODS[settings.method]
    arguments = config(
        output_dir=str(folder),
        beta=settings.beta,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
        num_train_epochs=settings.epochs,
        max_steps=settings.max_steps or -1,
        per_device_train_batch_size=together,
        gradient_accumulation_steps=settings.batch_size // together,
        max_length=settings.max_tokens,
        seed=settings.seed,
        use_cpu=device.type == "cpu",
        bf16=False,  # the base's own precision is kept; TRL would otherwise run in bfloat16, on a CPU too
        gradient_checkpointing=False,
        remove_unused_columns=False,  # there are none
        save_strategy="no",
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
    )
    dataset = Dataset.from_list(table(rows, settings.seed, together))
    made = trainer(model=model, args=arguments, train_dataset=dataset, processing_class=tokenizer)
    made.remove_callback(PrinterCallback)
    return made


def train(trainer: Trainer, say: Callable[[str], object]) -> list[tuple[int, float]]:
    """Train to the end; returns the loss of every optimizer step.

    Raises:
        WrongInput: the weights are no longer finite.
    """
    trainer.add_callback(_Speaker(say))
    trainer.train()
    assert trainer.model is not None
    weights = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    if not all(weight.isfinite().all() for weight in weights):
        raise WrongInput(
            "alignment diverged: weights are not finite any more; lower `alignment.learning_rate`"
        )
    return [
        (int(log["step"]), round(float(log["loss"]), 6)) for log in trainer.state.log_history if "loss" in log
    ]


class _Speaker(TrainerCallback):
    """A line for people after every step."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any
    ) -> None:
        if logs and "loss" in logs:
            self._say(f"step {state.global_step}/{state.max_steps}, loss {float(logs['loss']):.4f}")


def _dpo_table(pairs: Sequence[Pair], seed: int, together: int) -> list[dict[str, Any]]:
    return [
        {"prompt_ids": pair.prompt, "chosen_ids": pair.chosen, "rejected_ids": pair.rejected}
        for pair in pairs
    ]


def _orpo_table(pairs: Sequence[Pair], seed: int, together: int) -> list[dict[str, Any]]:
    rows = []
    for pair in pairs:
        row: dict[str, Any] = {"prompt": ""}  # so that TRL looks for none in the answers
        for name, answer in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            row[f"{name}_input_ids"] = pair.prompt + answer
            row[f"{name}_attention_mask"] = [1] * len(pair.prompt + answer)
            row[f"{name}_labels"] = [-100] * len(pair.prompt) + answer
        rows.append(row)
    return rows


def _kto_table(judged: Sequence[Judged], seed: int, together: int) -> list[dict[str, Any]]:
    """Shuffled here, as TRL takes them in order: each row is compared with its neighbour's answer to its own prompt."""
    order = [*judged]
    random.Random(seed).shuffle(order)
    rows = []
    for start in range(0, len(order), together):
        batch = order[start : start + together]
        for row, neighbour in zip(batch, [batch[-1], *batch[:-1]], strict=True):
            ids = {
                "prompt_ids": row.prompt,
                "completion_ids": row.answer,
                "KL_completion_ids": neighbour.answer,
            }
            rows.append({**ids, "label": row.liked})
    return rows


_METHODS: dict[str, tuple[Any, Any, Callable[..., list[dict[str, Any]]]]] = {
    "dpo": (_PlainDpo, DPOConfig, _dpo_table),
    "kto": (_PlainKto, KTOConfig, _kto_table),
    "orpo": (_PlainOrpo, ORPOConfig, _orpo_table),
}
