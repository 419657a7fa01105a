"""What all rows of a pack begin with is computed once.

Rows of one data set begin alike: the template's system turn, the words of the task. Attention is causal, so a token's
states follow from the tokens before it, and the same beginning has the same states in every row. So it stays in the
first row alone; the others see it in attention, which is where their gradients reach it. The loss and its gradients
are those of whole rows up to rounding, with a part of the tokens left out.
"""

from typing import Any

import torch  # noqa: TID253
from transformers import AttentionInterface, PreTrainedModel  # noqa: TID253
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS  # noqa: TID253

from ft_assets.bases.packed_attention import ATTENTION

SHARED = "within_rows_that_begin_alike"
"""The attention that knows of a common beginning."""


def share_beginning(model: PreTrainedModel) -> None:
    """Have a model compute a common beginning of packed rows once, whenever its attention is `SHARED`."""
    model.register_forward_pre_hook(_leave_out, with_kwargs=True)


def _leave_out(model: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """Take the beginning out of all rows but the first, and move the places of the answers along."""
    lengths = kwargs.get("row_lengths")
    if lengths is None or model.config._attn_implementation != SHARED or _drops(model):
        return None
    ids, positions, kept = (kwargs[name] for name in ("input_ids", "position_ids", "logits_to_keep"))
    size = _common(torch.stack([ids[0], positions[0]], dim=1), lengths)
    places, stay = _moved(lengths, size, ids.device)
    shorter = {"input_ids": ids[:, stay], "position_ids": positions[:, stay], "logits_to_keep": places[kept]}
    return args, {**kwargs, **shorter, "beginning": size}


def _drops(model: Any) -> bool:
    """Whether dropout is on: each row then has a mask of its own, and so states of its own."""
    layers = (module for module in model.modules() if isinstance(module, torch.nn.Dropout))
    drops = getattr(model.config, "attention_dropout", 0.0) > 0 or any(layer.p > 0 for layer in layers)
    return model.training and drops


def _common(tokens: torch.Tensor, lengths: list[int]) -> int:
    """How many tokens all rows begin with; `tokens`: (tokens, what a token is told by)."""
    begun = torch.stack([row[: min(lengths)] for row in tokens.split(lengths)])
    return int((begun == begun[0]).all(dim=2).all(dim=0).cumprod(dim=0).sum())


def _moved(lengths: list[int], size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Where every token is to be found from now on, and which tokens stay: both (tokens,)."""
    within = torch.cat([torch.arange(length, device=device) for length in lengths])
    stay = within >= size
    stay[: lengths[0]] = True
    return torch.where(stay, stay.cumsum(dim=0) - 1, within), stay


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    row_lengths: list[int],
    beginning: int = 0,
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of transformers' interface: query (1, heads, tokens, width) to (1, tokens, heads, width)."""
    sizes = [row_lengths[0], *(length - beginning for length in row_lengths[1:])]
    whole = [_put_back(states, sizes, beginning) for states in (query, key, value)]
    attend = ALL_ATTENTION_FUNCTIONS[ATTENTION]
    answers, _ = attend(module, *whole, attention_mask, row_lengths=row_lengths, **settings)
    first, *rest = answers.split(row_lengths, dim=1)
    return torch.cat([first, *(row[:, beginning:] for row in rest)], dim=1), None


def _put_back(states: torch.Tensor, sizes: list[int], beginning: int) -> torch.Tensor:
    """Whole rows' states again, (1, heads, tokens, width)."""
    if not beginning:
        return states
    first, *rest = states.split(sizes, dim=2)
    begun = first[:, :, :beginning]
    return torch.cat([first, *(part for row in rest for part in (begun, row))], dim=2)


AttentionInterface.register(SHARED, _attend)
