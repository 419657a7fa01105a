"""Linear layers that only go forwards, with their weights in the order in which a CPU multiplies fastest.

torch has a product put its weight into that order each time anew, which for the few rows of a batch of answers is a
good part of the work. Ordered once, the products of 4 to 16 tokens took 0.55 to 0.65 of their time, and those of
long prompts 0.75 (float32, the shapes of a 135M base, one core of an AMD EPYC).

For each number of rows oneDNN makes a kernel, which took 1 to 7 ms and 0.7 MB, and keeps up to 1,024 of them. So that
prompts of all lengths do not fill that, numbers of rows above 16 are rounded up by at most an eighth.
"""

from typing import Any

import torch  # noqa: TID253
from torch.nn import Linear, Module  # noqa: TID253
from torch.nn.functional import pad  # noqa: TID253
from transformers import PreTrainedModel  # noqa: TID253

from ft_assets.bases.product import onednn_product, packed, suits_onednn


class FrozenLinear(Linear):
    """Takes the place of a linear layer, for PEFT too.

    Args:
        layer: the one to replace, whose weight is not kept beside the packed one.
        shared: another layer has the same weight, so it stays as it is.
    """

    def __init__(self, layer: Linear, shared: bool) -> None:
        Module.__init__(self)  # and not Linear's, which makes a weight
        self.in_features, self.out_features, self.bias = layer.in_features, layer.out_features, layer.bias
        weight = layer.weight.detach()
        self._weight = weight if shared else packed(weight)

    @property
    def weight(self) -> torch.Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """(outputs, inputs), made anew each time: for those who look at it, not for products."""
        return self._weight.to_dense() if self._weight.is_mkldnn else self._weight

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(…, inputs) to (…, outputs)."""
        flat = input.reshape(-1, self.in_features)
        count = len(flat)
        if more := rounded(count) - count:
            flat = pad(flat, (0, 0, 0, more))
        return onednn_product(flat, self._weight, self.bias)[:count].view(
            *input.shape[:-1], self.out_features
        )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Beside an adapter of the output layer PEFT writes the layer's own weight: pass over it if it is this one."""
        given = state_dict.get(f"{prefix}weight")
        if given is not None and torch.equal(given, self.weight.to(given)):
            del state_dict[f"{prefix}weight"]
        super()._load_from_state_dict(state_dict, prefix, *args)


def rounded(rows: int) -> int:
    """The next number of rows that has a kernel: eight of them up to each power of two, and all up to 16."""
    step = 1 << max(0, (rows - 1).bit_length() - 4)
    return -(-rows // step) * step


def freeze_linears(model: PreTrainedModel) -> None:
    """Put `FrozenLinear` in the place of the linear layers of a model that will never be trained, if it is faster."""
    words: Any = model.get_input_embeddings().weight
    if not suits_onednn(words):
        return
    for name, layer in list(model.named_modules()):
        if type(layer) is Linear:
            model.set_submodule(name, FrozenLinear(layer, shared=layer.weight is words))
