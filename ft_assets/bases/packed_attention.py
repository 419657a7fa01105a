"""Attention over rows that lie end to end in one sequence: each row sees itself only."""

from collections.abc import Sequence
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
    past: Sequence[Sequence[KeysAndValues]] | None = None,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of transformers' interface: query (1, heads, tokens, width) to (1, tokens, heads, width).

    Args:
        states: is given the layer's keys and values of all rows, for whoever wants to read on.
        past: of each row what was read before it, layer by layer; empty where it is read from its beginning.
    """
    queries, keys, values = (each.split(row_lengths, dim=2) for each in (query, key, value))
    if past is not None and any(past):
        layer = int(module.layer_idx)  # pyright: ignore[reportArgumentType]
        before = [each[layer] if each else None for each in past]
        keys, values = (
            [
                torch.cat([begun[which], row], dim=2) if begun else row
                for begun, row in zip(before, rows, strict=True)
            ]
            for which, rows in enumerate((keys, values))
        )
        key, value = torch.cat(keys, dim=2), torch.cat(values, dim=2)
    if sliding_window is not None and max(row.shape[2] for row in keys) > sliding_window:
        raise ValueError(f"rows are longer than the base's attention window of {sliding_window} tokens")
    if states is not None:
        states.append((key, value))
    answers = [
        sdpa_attention_forward(module, q, k, v, _seen(q, k), **settings)[0]
        for q, k, v in zip(queries, keys, values, strict=True)
    ]
    return torch.cat(answers, dim=1), None


def _seen(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor | None:
    """What each token sees, (tokens, tokens and those before them); None where causal order says it all."""
    tokens, all_tokens = query.shape[2], key.shape[2]
    if tokens in (1, all_tokens):
        return None
    return torch.ones(tokens, all_tokens, dtype=torch.bool, device=query.device).tril(all_tokens - tokens)


AttentionInterface.register(ATTENTION, _attend_within_rows)
