"""DoRA adapters in a batch of several (Liu et al. 2024, arXiv 2402.09353).

DoRA gives every output of a layer, that of the base and of LoRA together, a size of its own: it multiplies both by
m / ||W + s B A||, the norm taken over the inputs. PEFT computes that norm anew in each pass, as training must, and
refuses such adapters where rows of a batch take different ones. Frozen, it is one vector a layer, computed once.
"""

from typing import Any

import torch  # noqa: TID253
from peft.tuners.lora.layer import LoraVariant  # noqa: TID253
from peft.tuners.lora.variants import DoraLinearVariant  # noqa: TID253
from peft.utils.integrations import dequantize_module_weight  # noqa: TID253


class FrozenDora(LoraVariant):
    """What PEFT's linear layer does for the rows of one DoRA adapter.

    Args:
        factor: (outputs,): m / ||W + s B A||.
    """

    def __init__(self, factor: torch.Tensor) -> None:
        self.factor = factor

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, module: Any, *, active_adapter: str, x: torch.Tensor, result: torch.Tensor, **_: Any
    ) -> torch.Tensor:
        """`x`: (tokens, inputs); `result`: what the base answers, (tokens, outputs)."""
        low = module.lora_B[active_adapter](module.lora_A[active_adapter](x)) * module.scaling[active_adapter]
        bias = module.get_base_layer().bias
        if bias is None:
            return self.factor * (result + low)
        return self.factor * (result - bias + low) + bias


@torch.no_grad()
def freeze_dora(module: Any, adapter: str) -> None:
    """Let an adapter of a LoRA layer, if it is a DoRA one and stays as it is, take a part in mixed batches."""
    if type(module.lora_variant.get(adapter)) is not DoraLinearVariant:
        return
    dora, down, up = (
        layers[adapter] for layers in (module.lora_magnitude_vector, module.lora_A, module.lora_B)
    )
    weight = dequantize_module_weight(module.get_base_layer()).to(down.weight.dtype)
    norm = dora.get_weight_norm(weight, dora.get_lora_weight(down, up), module.scaling[adapter])
    module.lora_variant[adapter] = FrozenDora(dora.weight / norm)
    module.use_dora[adapter] = False  # all that PEFT asks this for is to refuse
