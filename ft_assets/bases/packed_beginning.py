"""What rows of a pack begin with is computed once.

Rows of one data set begin alike: the template's system turn, the words of the task. Attention is causal, so a token's
states follow from the tokens before it, and the same beginning has the same states in every row. So it stays in the
first row alone; the others see it in attention, which is where their gradients reach it. The loss and its gradients
are those of whole rows up to rounding, with a part of the tokens left out. Rows of two kinds (of two adapters, say)
have other states at the same tokens, and share nothing.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import Any

import torch  # noqa: TID253
from transformers import AttentionInterface, PreTrainedModel  # noqa: TID253
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS  # noqa: TID253

from ft_assets.bases.packed_attention import ATTENTION

SHARED = "within_rows_that_begin_alike"
"""The attention that knows of common beginnings."""

Loan = tuple[int, int]
"""Of one row: which row has its beginning, and how many tokens of it. A row that is whole has none of its own."""


def share_beginning(model: PreTrainedModel) -> None:
    """Have a model compute what packed rows begin with once, whenever its attention is `SHARED`.

    Beside `row_lengths`, a pass may have `kinds`, which tells rows apart that share nothing, and `lay_out`, which is
    called with how many tokens of each row are left.
    """
    model.register_forward_pre_hook(_leave_out, with_kwargs=True)


def _leave_out(model: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """Take beginnings out of all rows but the first that has them, and move the places of the answers along."""
    lengths = kwargs.get("row_lengths")
    if lengths is None or model.config._attn_implementation != SHARED or _drops(model):
        return None
    ids, positions, kept = (kwargs[name] for name in ("input_ids", "position_ids", "logits_to_keep"))
    rows = torch.stack([ids[0], positions[0]], dim=1).split(lengths)
    loans = _loans(rows, kwargs.get("kinds") or [None] * len(rows))
    if lay_out := kwargs.get("lay_out"):
        lay_out(_left(lengths, loans))
    places, stay = _moved(lengths, loans, ids.device)
    shorter = {"input_ids": ids[:, stay], "position_ids": positions[:, stay], "logits_to_keep": places[kept]}
    return args, {**kwargs, **shorter, "loans": loans}


def _drops(model: Any) -> bool:
    """Whether dropout is on: each row then has a mask of its own, and so states of its own."""
    layers = (module for module in model.modules() if isinstance(module, torch.nn.Dropout))
    drops = getattr(model.config, "attention_dropout", 0.0) > 0 or any(layer.p > 0 for layer in layers)
    return model.training and drops


def _loans(rows: Sequence[torch.Tensor], kinds: Sequence[Hashable]) -> list[Loan]:
    """What each row leaves to another; `rows`: of each (tokens, what a token is told by)."""
    members: dict[Hashable, list[int]] = defaultdict(list)
    for number, kind in enumerate(kinds):
        members[kind].append(number)
    loans = [(number, 0) for number in range(len(rows))]
    for first, *others in members.values():
        size = _common([rows[number] for number in (first, *others)]) if others else 0
        for number in others:
            loans[number] = (first, size)
    return loans


def _common(rows: Sequence[torch.Tensor]) -> int:
    """How many tokens all rows begin with."""
    shortest = min(map(len, rows))
    begun = torch.stack([row[:shortest] for row in rows])
    return int((begun == begun[0]).all(dim=2).all(dim=0).cumprod(dim=0).sum())


def _left(lengths: Sequence[int], loans: Sequence[Loan]) -> list[int]:
    """Tokens of each row that stay."""
    return [length - size for length, (_, size) in zip(lengths, loans, strict=True)]


def _moved(
    lengths: Sequence[int], loans: Sequence[Loan], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where every token is to be found from now on, and which tokens stay: both (tokens,)."""
    own = torch.arange(sum(lengths), device=device)
    rows = own.split(list(lengths))
    found = torch.cat(
        [
            part
            for row, (lender, size) in zip(rows, loans, strict=True)
            for part in (rows[lender][:size], row[size:])
        ]
    )
    stay = found == own
    return (stay.cumsum(dim=0) - 1)[found], stay


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    row_lengths: list[int],
    loans: Sequence[Loan] = (),
    **settings: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of transformers' interface: query (1, heads, tokens, width) to (1, tokens, heads, width)."""
    attend = ALL_ATTENTION_FUNCTIONS[ATTENTION]
    if not any(size for _, size in loans):
        return attend(module, query, key, value, attention_mask, row_lengths=row_lengths, **settings)
    left = _left(row_lengths, loans)
    whole = [_put_back(states.split(left, dim=2), loans) for states in (query, key, value)]
    answers, _ = attend(module, *whole, attention_mask, row_lengths=row_lengths, **settings)
    rows = zip(answers.split(row_lengths, dim=1), loans, strict=True)
    return torch.cat([row[:, size:] for row, (_, size) in rows], dim=1), None


def _put_back(rows: Sequence[torch.Tensor], loans: Sequence[Loan]) -> torch.Tensor:
    """Whole rows' states again, end to end: (1, heads, tokens, width)."""
    whole = [
        part
        for row, (lender, size) in zip(rows, loans, strict=True)
        for part in (rows[lender][:, :, :size], row)
    ]
    return torch.cat(whole, dim=2)


AttentionInterface.register(SHARED, _attend)
