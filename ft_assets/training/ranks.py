"""The processes that train one adapter together, as one of them sees the others.

Every process takes its share of a step's rows, and the gradients are summed, not averaged, in one exchange a step. The
loss of each row is divided by the answer tokens of the whole step before, so that the sum is the gradient that one
process alone would have.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch  # noqa: TID253
import torch.distributed as dist  # noqa: TID253

_MOST_RANKS = 1 << 16


@dataclass(frozen=True)
class Ranks:
    """Number `number` (from 0) of `count` processes; `Ranks()` is one process alone."""

    number: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that speaks and writes for all."""
        return self.number == 0

    def sum_up(self, gradients: Sequence[torch.Tensor], loss: float, device: torch.device) -> float:
        """Replace gradients by their sums over all processes, and return the sum of the losses."""
        if self.count == 1:
            return loss
        parts = [*gradients, torch.tensor([loss], device=device)]
        flat = torch.cat([part.flatten() for part in parts])
        dist.all_reduce(flat)
        sums = flat.split([part.numel() for part in parts])
        for part, total in zip(parts, sums, strict=True):
            part.copy_(total.view_as(part))
        return parts[-1].item()

    def seed(self, seed: int, step: int) -> None:
        """Give each process random numbers of its own (for dropout) that follow from the step's number.

        One process alone goes on with those that it has, which are part of every checkpoint.
        """
        if self.count > 1:
            torch.manual_seed((seed + 1) * _MOST_RANKS**2 + step * _MOST_RANKS + self.number)


@contextmanager
def meet(number: int, count: int, device: torch.device, meeting: str) -> Iterator[Ranks]:
    """Wait for the other processes, and part from them at the end.

    Args:
        meeting: URL by which the processes find each other: `file://` of a file that is not there yet, without a port,
            or `env://`, as torchrun tells them.
    """
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, init_method=meeting, rank=number, world_size=count)
    try:
        yield Ranks(number, count)
    finally:
        dist.destroy_process_group()


def share_out(rows: Sequence[int], lengths: Sequence[int], count: int) -> list[list[int]]:
    """Each process's rows, each share in the order of `rows`: the longest row first, to whom has the fewest tokens.

    Args:
        lengths: tokens of each row.
    """
    shares: list[list[int]] = [[] for _ in range(count)]
    tokens = [0] * count
    for place in sorted(range(len(rows)), key=lambda place: -lengths[rows[place]]):
        least = tokens.index(min(tokens))
        shares[least].append(place)
        tokens[least] += lengths[rows[place]]
    return [[rows[place] for place in sorted(share)] for share in shares]
