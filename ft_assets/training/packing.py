"""Rows laid end to end without padding, and the loss on their answers.

Attention runs row by row, so no row sees another, and the vocabulary projection runs at answer positions
only. A test compares the gradients with those of one row at a time: packing by `position_ids` alone, with the
model's default cache, lets rows see each other and hardly shows in the loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch  # noqa: TID253
import torch.nn.functional as F  # noqa: TID253

from ft_assets.training.rows import Row


@dataclass(frozen=True)
class Pack:
    """Rows end to end: `ids` and `positions` are (1, tokens), `kept`, `targets` and `weights` (answer tokens,)."""

    ids: torch.Tensor
    positions: torch.Tensor
    lengths: list[int]
    kept: torch.Tensor  # where a hidden state predicts an answer token
    targets: torch.Tensor
    weights: torch.Tensor | None  # None: all of them 1


def make_pack(rows: Sequence[Row], device: torch.device) -> Pack:
    """Lay rows end to end."""
    ids = [token for row in rows for token in row.ids]
    answer = [flag for row in rows for flag in row.answer]
    weights = [row.weight for row in rows for flag in row.answer if flag]
    targets = [at for at, flag in enumerate(answer) if flag]
    flat = torch.tensor(ids, device=device)
    places = torch.tensor(targets, dtype=torch.long, device=device)
    return Pack(
        ids=flat[None],
        positions=torch.cat([torch.arange(len(row.ids), device=device) for row in rows])[None],
        lengths=[len(row.ids) for row in rows],
        kept=places - 1,
        targets=flat[places],
        weights=None if set(weights) <= {1.0} else torch.tensor(weights, device=device),
    )


def answer_loss(model: torch.nn.Module, pack: Pack) -> torch.Tensor:
    """Sum of the loss over the pack's answer tokens, in nats, each times its row's weight."""
    output = model(
        input_ids=pack.ids,
        position_ids=pack.positions,
        use_cache=False,
        logits_to_keep=pack.kept,
        row_lengths=pack.lengths,
    )
    logits = output.logits[0].float()
    if pack.weights is None:
        return F.cross_entropy(logits, pack.targets, reduction="sum")
    return F.cross_entropy(logits, pack.targets, reduction="none") @ pack.weights
