"""The rows that a model reads together: padded on the left, with a cache of what was read."""

from collections.abc import Sequence

import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253
from transformers import DynamicCache, PreTrainedModel  # noqa: TID253

from ft_assets.evaluation.adapters import AdapterRack


class Batch:
    """Prompts read on creation; ids are added at the end of every row from there on.

    Args:
        model: a causal language model in evaluation mode.
        rack: its adapters.
        prompts: ids of each row, none empty.
        adapters: name of each row's adapter, None for the bare base.

    Attributes:
        logits: rows x vocabulary, float32: what follows the last id of each row.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        rack: AdapterRack,
        prompts: Sequence[Sequence[int]],
        adapters: Sequence[str | None],
    ) -> None:
        self._model = model
        self._rack = rack
        self._adapters = list(adapters)
        self._cache = DynamicCache(config=model.config)
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

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only, in this order: those that have ended cost nothing any more."""
        chosen = torch.tensor(rows, device=self._mask.device)
        self._cache.batch_select_indices(chosen)
        self._mask = self._mask[chosen]
        self.logits = self.logits[chosen]
        self._adapters = [self._adapters[row] for row in rows]

    @torch.inference_mode()
    def _forward(self, ids: Tensor, positions: Tensor, keep: int) -> Tensor:
        self._rack.route(self._adapters)
        read = self._model(
            input_ids=ids.to(self._model.device),
            attention_mask=self._mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        return read.logits.float()
