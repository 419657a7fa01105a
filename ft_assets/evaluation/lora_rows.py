"""The tokens of a batch through one LoRA layer, each through its own adapter.

PEFT's layer does the same with a copy of the rows for every adapter, and with five modules in between. Here tokens of
one adapter lie side by side, so that each adapter is two matrix products on a slice, the second into the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor  # noqa: TID253


@dataclass
class Runs:
    """Neighbouring tokens that take the same adapter, in the order of the batch: whose, and how many."""

    slots: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)

    def lay_out(self, slots: Sequence[str], lengths: Sequence[int]) -> None:
        """Set them anew from the slot of each row and how many tokens of it there are."""
        self.slots, self.lengths = [], []
        for slot, length in zip(slots, lengths, strict=True):
            if self.slots and self.slots[-1] == slot:
                self.lengths[-1] += length
            else:
                self.slots.append(slot)
                self.lengths.append(length)


@dataclass(frozen=True)
class Pair:
    """What one adapter adds to one layer: `scaling * x @ down @ up`.

    Attributes:
        down: inputs x rank.
        up: rank x outputs. Both are views of a file's tensors, turned round once and not for every token.
    """

    down: Tensor
    up: Tensor
    scaling: float


class LoraRows:
    """The forward of one of PEFT's linear LoRA layers.

    Args:
        layer: whose place it takes.
        runs: of the tokens that it is given; changed from outside.

    Attributes:
        pairs: plain adapters, by slot. Others are left to what PEFT calls a variant of the layer.
    """

    def __init__(self, layer: Any, runs: Runs) -> None:
        self.pairs: dict[str, Pair] = {}
        self._layer = layer
        self._runs = runs

    def adopt(self, slot: str) -> None:
        """Take over an adapter that PEFT has loaded, if it is a plain one."""
        layer = self._layer
        plain = slot in layer.lora_A and slot not in layer.lora_variant and layer.lora_B[slot].bias is None
        if plain:
            down, up = layer.lora_A[slot].weight.data, layer.lora_B[slot].weight.data
            self.pairs[slot] = Pair(down.t(), up.t(), layer.scaling[slot])

    def __call__(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """`x`: (…, inputs); the result: (…, outputs)."""
        result = self._layer.base_layer(x, *args, **kwargs)
        flat, into = x.reshape(-1, x.shape[-1]), result.view(-1, result.shape[-1])
        lengths = self._runs.lengths  # splitting fails unless they are of all tokens
        parts = flat.split_with_sizes(lengths), into.split_with_sizes(lengths)
        for slot, given, taken in zip(self._runs.slots, *parts, strict=True):
            if pair := self.pairs.get(slot):
                _add(pair, given, taken)
            elif slot in self._layer.lora_A:
                taken.copy_(self._through_peft(slot, given, taken))
        return result

    def _through_peft(self, slot: str, x: Tensor, result: Tensor) -> Tensor:
        layer = self._layer
        x = x.to(layer.lora_A[slot].weight.dtype)
        if slot in layer.lora_variant:
            return layer.lora_variant[slot].forward(layer, active_adapter=slot, x=x, result=result)
        return result + layer.lora_B[slot](layer.lora_A[slot](x)) * layer.scaling[slot]


def _add(pair: Pair, x: Tensor, result: Tensor) -> None:
    """Add what an adapter says about `x`, (tokens, inputs), to `result`, (tokens, outputs), in place."""
    if result.dtype == x.dtype == pair.up.dtype:
        result.addmm_(x.mm(pair.down), pair.up, alpha=pair.scaling)
    else:
        result += (x.to(pair.down.dtype) @ pair.down @ pair.up * pair.scaling).to(result.dtype)
