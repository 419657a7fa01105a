"""Full fine-tuning of the linear layers, in an adapter's layout.

An update B A of full rank, one half of it the identity and the other trained from zero, is any change of W there is,
and the trained half has W's own gradient. So Adam takes the steps that it would take on W, and what comes out is an
adapter like any other: evaluated, served, merged and rolled back beside the rest. It is as large as the layers.
"""

from typing import Any

import torch  # noqa: TID253
from peft import PeftModel  # noqa: TID253
from peft.tuners.lora import LoraLayer  # noqa: TID253
from transformers import PreTrainedModel  # noqa: TID253


def full_ranks(model: PreTrainedModel) -> dict[str, int]:
    """The rank at which an update of each linear layer can be any matrix, by the layer's last name.

    Layers of one name are of one shape in every transformer; PEFT takes this as `rank_pattern`.
    """
    return {
        name.rpartition(".")[2]: min(layer.in_features, layer.out_features)
        for name, layer in model.named_modules()
        if isinstance(layer, torch.nn.Linear)
    }


@torch.no_grad()
def train_whole_matrices(model: PeftModel) -> None:
    """Make the half of each update that is square the identity and freeze it, and let the other begin at zero."""
    layers: list[Any] = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
    for layer in layers:
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        square, free = (down, up) if down.shape[0] == down.shape[1] else (up, down)
        torch.nn.init.eye_(square)
        torch.nn.init.zeros_(free)
        square.requires_grad_(False)
