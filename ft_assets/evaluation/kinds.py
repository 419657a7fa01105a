"""Adapters of one kind: equal settings, so that all but the numbers is known once the first of them is loaded."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch  # noqa: TID253

from ft_assets.evaluation.lora_rows import LoraRows, Pair
from ft_assets.evaluation.tensor_file import read_tensors

_NO_SETTINGS = ("base_model_name_or_path", "inference_mode", "peft_version", "revision")


@dataclass(frozen=True)
class _Place:
    """Where one layer's two tensors are in a file, and what they are like in memory."""

    rows: LoraRows
    names: tuple[str, str]
    shapes: tuple[torch.Size, torch.Size]
    dtype: torch.dtype
    device: torch.device
    scaling: float

    def fits(self, tensors: Mapping[str, torch.Tensor]) -> bool:
        """Whether a file has its two tensors, in its shapes."""
        return self.shapes == tuple(tensors[name].shape if name in tensors else None for name in self.names)

    def pair(self, tensors: Mapping[str, torch.Tensor]) -> Pair:
        """Its two tensors, ready for use."""
        down, up = (tensors[name].to(self.device, self.dtype) for name in self.names)
        return Pair(down.t(), up.t(), self.scaling)


class Kind:
    """Loads further adapters of a kind without PEFT, whose walk over the model takes most of a second.

    Args:
        layers: every LoRA layer of the model, by PEFT's name for it.
        slot: the adapter of this kind that PEFT has loaded.
    """

    def __init__(self, layers: Mapping[str, LoraRows], slot: str) -> None:
        self._places = [
            _place(name, rows, rows.pairs[slot]) for name, rows in layers.items() if slot in rows.pairs
        ]

    def load(self, folder: Path, slot: str) -> bool:
        """Load `adapter_model.safetensors` into a slot; False, and nothing done, if the file is not of this kind."""
        try:
            tensors = read_tensors(folder / "adapter_model.safetensors")
        except (ValueError, TypeError, KeyError):
            return False
        if len(tensors) != 2 * len(self._places) or not all(place.fits(tensors) for place in self._places):
            return False
        for place in self._places:
            place.rows.pairs[slot] = place.pair(tensors)
        return True


def _place(name: str, rows: LoraRows, like: Pair) -> _Place:
    shapes = (like.down.t().shape, like.up.t().shape)
    names = (f"{name}.lora_A.weight", f"{name}.lora_B.weight")
    return _Place(rows, names, shapes, like.down.dtype, like.down.device, like.scaling)


def settings_of(folder: Path) -> str:
    """Equal for two adapters of one kind."""
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_bytes())
    kept = {name: value for name, value in config.items() if name not in _NO_SETTINGS}
    return json.dumps(kept, sort_keys=True)
