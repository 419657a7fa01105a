"""The loss of known answers."""

from collections.abc import Sequence

import torch  # noqa: TID253
from torch.nn.functional import cross_entropy  # noqa: TID253

from ft_assets.evaluation.batch import Batch

_AT_ONCE = (
    32  # answer positions: logits of 16 rows and 50,000 words then take 100 MB, however long the answers
)


@torch.inference_mode()
def answer_nats(batch: Batch, answers: Sequence[Sequence[int]]) -> list[float]:
    """Summed negative log likelihood, in nats, of each row's answer after what the batch has read.

    The vocabulary projection is computed at answer positions only. The batch is left as it was found.
    """
    width = max(map(len, answers))
    ids = torch.tensor(
        [[*answer, *[0] * (width - len(answer))] for answer in answers], device=batch.logits.device
    )
    wanted = torch.tensor(
        [[at < len(answer) for at in range(width)] for answer in answers], device=ids.device
    )
    at_start = batch.logits
    losses = [cross_entropy(at_start, ids[:, 0], reduction="none")[:, None]]
    for start in range(0, width - 1, _AT_ONCE):
        stop = min(start + _AT_ONCE, width - 1)
        # Rows with shorter answers read padding here; it comes after all their answer's tokens, which never see it.
        logits = batch.read(ids[:, start:stop]).flatten(0, 1)
        targets = ids[:, start + 1 : stop + 1]
        losses.append(cross_entropy(logits, targets.flatten(), reduction="none").view_as(targets))
    batch.forget(width - 1, at_start)
    return (torch.cat(losses, 1).double() * wanted).sum(1).tolist()
