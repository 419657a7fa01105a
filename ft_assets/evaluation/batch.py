"""The rows that a model reads together: padded on the left, with a cache of what was read."""

from collections.abc import Sequence
from typing import Any

import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253
from torch.nn.functional import pad  # noqa: TID253
from transformers import DynamicCache, PreTrainedModel  # noqa: TID253

from ft_assets.evaluation.adapters import AdapterRack
from ft_assets.evaluation.beginnings import Beginning
from ft_assets.evaluation.packed import PackedRow, holds_whole_rows, read_packed


class Batch:
    """Prompts read on creation; ids are added at the end of every row from there on.

    Args:
        model: a causal language model in evaluation mode.
        rack: its adapters.
        prompts: ids of each row, none empty.
        adapters: name of each row's adapter, None for the bare base.
        begun: of each prompt what was read of it before, if anything was.

    Attributes:
        logits: rows x vocabulary, float32: what follows the last id of each row.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        rack: AdapterRack,
        prompts: Sequence[Sequence[int]],
        adapters: Sequence[str | None],
        begun: Sequence[Beginning | None] | None = None,
    ) -> None:
        self._model = model
        self._rack = rack
        self._adapters = list(adapters)
        self._cache = DynamicCache(config=model.config)
        if self.joinable and (rack.splits_rows or len(set(self._adapters)) == 1):
            rows = map(PackedRow, prompts, adapters, begun or [None] * len(prompts))
            self._mask, self.logits = read_packed(model, rack, list(rows), self._cache)
            return
        width = max(map(len, prompts))
        self._mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompts]).to(
            model.device
        )
        ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in prompts])
        positions = (self._mask.cumsum(1) - 1).clamp(min=0)
        self.logits = self._forward(ids, positions, keep=1)[:, -1]

    def read(self, ids: Tensor) -> Tensor:
        """Add ids (rows x n) to the rows; returns the logits after each of them (rows x n x vocabulary)."""
        new = torch.ones(ids.shape, dtype=self._mask.dtype, device=self._mask.device)
        positions = self._mask.sum(1, keepdim=True) + new.cumsum(1) - 1
        self._mask = torch.cat([self._mask, new], 1)
        logits = self._forward(ids, positions, keep=0)
        self.logits = logits[:, -1]
        return logits

    def forget(self, count: int, logits: Tensor) -> None:
        """Take back the last `count` ids of every row; `logits` are those that held before them."""
        if count:
            self._cache.crop(-count)
            self._mask = self._mask[:, :-count]
        self.logits = logits

    @property
    def joinable(self) -> bool:
        """Whether the cache holds every position, so that rows of another length can be laid beside them."""
        return holds_whole_rows(self._cache)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only, in this order: those that have ended cost nothing any more."""
        chosen = torch.tensor(rows, device=self._mask.device)
        self._cache.batch_select_indices(chosen)
        self._mask = self._mask[chosen]
        self.logits = self.logits[chosen]
        self._adapters = [self._adapters[row] for row in rows]
        if self.joinable:
            self._trim()

    def join(self, other: "Batch", order: Sequence[int]) -> None:
        """Take in the rows of another batch, which is used up; `order` counts the own rows first."""
        width = max(self._mask.shape[1], other._mask.shape[1])
        self._widen(width)
        other._widen(width)
        chosen = torch.tensor(order, device=self._mask.device)
        for mine, theirs in zip(self._layers, other._layers, strict=True):
            mine.keys = torch.cat([mine.keys, theirs.keys])[chosen]
            mine.values = torch.cat([mine.values, theirs.values])[chosen]
        self._mask = torch.cat([self._mask, other._mask])[chosen]
        self.logits = torch.cat([self.logits, other.logits])[chosen]
        adapters = [*self._adapters, *other._adapters]
        self._adapters = [adapters[at] for at in order]

    def beginning(self, row: int, prompt: Sequence[int], length: int) -> Beginning:
        """The first tokens of a row, whose prompt was just read."""
        start = self._mask.shape[1] - len(prompt)
        at = (slice(row, row + 1), slice(None), slice(start, start + length))
        states = [(layer.keys[at].clone(), layer.values[at].clone()) for layer in self._layers]
        return Beginning(prompt[:length], states)

    @property
    def _layers(self) -> list[Any]:
        return self._cache.layers

    def _widen(self, width: int) -> None:
        """Padding on the left, up to a width."""
        missing = width - self._mask.shape[1]
        if missing:
            for layer in self._layers:
                layer.keys = pad(layer.keys, (0, 0, missing, 0))
                layer.values = pad(layer.values, (0, 0, missing, 0))
            self._mask = pad(self._mask, (missing, 0))

    def _trim(self) -> None:
        """Forget columns on the left that are padding in every row that is left."""
        unused = int(self._mask.any(0).int().argmax())
        if unused:
            for layer in self._layers:
                layer.keys, layer.values = layer.keys[:, :, unused:], layer.values[:, :, unused:]
            self._mask = self._mask[:, unused:]

    @torch.inference_mode()
    def _forward(self, ids: Tensor, positions: Tensor, keep: int) -> Tensor:
        self._rack.route(self._adapters, ids.shape[1])
        read = self._model(
            input_ids=ids.to(self._model.device),
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        return read.logits.float()
