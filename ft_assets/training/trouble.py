"""What a machine runs out of while training, said in words, with what to try."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import torch  # noqa: TID253
from safetensors import SafetensorError

from ft_assets.errors import BrokenEnvironment
from ft_assets.training.history import History

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def plain_trouble(history: History) -> Iterator[None]:
    """Turn running out of memory or disk into an error for people. Checkpoints stay, and are resumed from.

    Raises:
        BrokenEnvironment: naming the step, and what to try.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _no_memory(history) from error
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        raise _no_memory(history) from error
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise _no_room(history, error) from error
    except SafetensorError as error:
        if not any(f"os error {number}" in str(error) for number in _FULL):
            raise
        raise _no_room(history, error) from error


def _no_memory(history: History) -> BrokenEnvironment:
    return BrokenEnvironment(
        f"out of memory after step {history.step}; try a smaller `training.max_tokens` or `rank`, or close what else "
        f"runs on this machine; the same command goes on from the last checkpoint"
    )


def _no_room(history: History, error: Exception) -> BrokenEnvironment:
    return BrokenEnvironment(
        f"no room on disk for the checkpoint of step {history.step} ({error}); make room, and the same command goes on "
        f"from the checkpoint before"
    )
