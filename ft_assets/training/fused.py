"""A LoRA linear layer as one autograd function: the products that matter, added up in place.

PEFT's layer is five operations, each with an output of its own; on a CPU the traffic between them takes about a
seventh of a training step. Here the adapter's part is added to the base's while it is written, forwards and backwards.
The frozen weight never gets a gradient.
"""

from typing import Any

import torch  # noqa: TID253
from peft.tuners.lora import Linear  # noqa: TID253

from ft_assets.bases.product import product


class FusedLoraLinear(Linear):
    """PEFT's LoRA linear, in one step where nothing but plain LoRA is asked of it."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """`x`: (…, inputs) to (…, outputs)."""
        if args or kwargs or not self._plain():
            return super().forward(x, *args, **kwargs)
        (name,) = self.active_adapters
        base = self.get_base_layer()
        down, up = self.lora_A[name].weight, self.lora_B[name].weight
        flat = _LoraLinear.apply(
            x.reshape(-1, x.shape[-1]), base.weight, base.bias, down, up, self.scaling[name]
        )
        return flat.view(*x.shape[:-1], flat.shape[-1])  # not -1: a pack may have no answers

    def _plain(self) -> bool:
        names = self.active_adapters
        return (
            len(names) == 1
            and not (self.disable_adapters or self.merged or self.lora_variant)
            and isinstance(self.lora_dropout[names[0]], torch.nn.Identity)
            and self.lora_B[names[0]].bias is None
            # A bfloat16 base has a float32 adapter: PEFT's layer casts from one to the other.
            and bool(self.lora_A[names[0]].weight.dtype == self.get_base_layer().weight.dtype)
        )


class _LoraLinear(torch.autograd.Function):
    """x W' + b + s (x A') B', for x (tokens, inputs), W (outputs, inputs), A (rank, inputs), B (outputs, rank)."""

    @staticmethod
    def forward(ctx: Any, x, weight, bias, down, up, scale):  # pyright: ignore[reportIncompatibleMethodOverride]
        low = product(x, down)
        ctx.save_for_backward(x, weight, down, up, low)
        ctx.scale = scale
        return product(x, weight, bias).addmm_(low, up.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, grad):  # pyright: ignore[reportIncompatibleMethodOverride]
        x, weight, down, up, low = ctx.saved_tensors
        low_grad = product(grad, up.t()).mul_(ctx.scale)
        x_grad = product(grad, weight.t()).addmm_(low_grad, down) if ctx.needs_input_grad[0] else None
        # (low' grad)' rather than grad' low: the narrow side first is twice as fast.
        up_grad = (low.t() @ grad).mul_(ctx.scale).t() if ctx.needs_input_grad[4] else None
        down_grad = low_grad.t() @ x if ctx.needs_input_grad[3] else None
        return x_grad, None, None, down_grad, up_grad, None
