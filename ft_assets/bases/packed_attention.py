"""Attention over rows that lie end to end in one sequence: each row sees itself only."""

from typing import Any

import torch  # noqa: TID253
from transformers import AttentionInterface  # noqa: TID253
from transformers.integrations.sdpa_attention import sdpa_attention_forward  # noqa: TID253

ATTENTION = "within_rows"
"""Name to load a model with (`attn_implementation`) that is to see packed rows."""

KeysAndValues = tuple[torch.Tensor, torch.Tensor]
"""Of one layer, each (1, heads, tokens, width)."""


def _attend_within_rows(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    row_lengths: list[int],
    sliding_window: int | None = None,
    states: list[KeysAndValues] | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of transformers' interface: query (1, heads, tokens, width) to (1, tokens, heads, width).

    Args:
        states: is given the layer's keys and values of all rows, for whoever wants to read on.
    """
    if sliding_window is not None and max(row_lengths) > sliding_window:
        raise ValueError(f"rows are longer than the base's attention window of {sliding_window} tokens")
    if states is not None:
        states.append((key, value))
    parts = zip(*(states.split(row_lengths, dim=2) for states in (query, key, value)), strict=True)
    answers = [sdpa_attention_forward(module, q, k, v, None, **settings)[0] for q, k, v in parts]
    return torch.cat(answers, dim=1), None


AttentionInterface.register(ATTENTION, _attend_within_rows)
