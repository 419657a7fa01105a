"""The recipe's sections on training that may be left out: several processes, and what people prefer."""

from typing import Literal

from pydantic import Field, model_validator

from ft_assets.recipe_data import Settings

Method = Literal["lora", "rslora", "dora", "qlora", "full"]
"""Kinds of adapters, and of the base below them."""


class Scale(Settings):
    """One training by several processes of one machine; `docs/training.md` says what that changes."""

    processes: int = Field(ge=2, description="Processes, each with a GPU or a part of the cores of its own.")
    strategy: Literal["ddp", "fsdp"] = Field(
        default="ddp",
        description="`ddp`: every process holds the whole base. `fsdp`: each holds a part of every layer, for a base "
        "that is larger than one device's memory.",
    )
    checkpoint_activations: bool = Field(
        default=False,
        description="Compute each layer's activations again on the way back: less memory, half as much "
        "arithmetic again.",
    )


class Alignment(Settings):
    """Preference training that starts from the trained adapter and is held to it; `docs/alignment.md` explains it."""

    method: Literal["dpo", "kto", "orpo"] = Field(
        default="dpo",
        description="`dpo` and `orpo` learn from preference rows (a better and a worse answer), `kto` also from rows "
        "that say whether one answer was liked.",
    )
    beta: float = Field(
        default=0.1,
        gt=0,
        description="`dpo`, `kto`: how firmly the model is held to its SFT adapter. `orpo`, which has no reference: "
        "weight of the preference beside the likelihood of the better answer.",
    )
    learning_rate: float = Field(
        default=2e-5,
        gt=0,
        description="Peak learning rate of AdamW, cosine decay; a tenth of SFT's is usual.",
    )
    epochs: float = Field(default=1.0, gt=0, description="Passes over the train split's rows of this kind.")
    max_steps: int | None = Field(
        default=None, ge=1, description="Stop after this many optimizer steps, whatever the epochs."
    )
    batch_size: int = Field(default=8, ge=1, description="Rows an optimizer step; even for `kto`.")
    max_tokens: int = Field(
        default=1_024,
        ge=16,
        description="Rows with an answer that makes them longer than this many tokens are left out, and counted.",
    )
    min_rows: int = Field(
        default=32, ge=2, description="Fewer rows of this kind in the train split are refused."
    )
    seed: int = Field(default=0, ge=0, description="Seeds the order of rows.")

    @model_validator(mode="after")
    def _even(self) -> "Alignment":
        if self.method == "kto" and self.batch_size % 2:
            raise ValueError("kto compares the rows of a batch with one another: batch_size must be even")
        return self
