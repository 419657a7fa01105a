"""How much arithmetic a training step needs, and how much the machine can do."""

import time
from collections.abc import Sequence

import torch  # noqa: TID253
from peft import PeftModel  # noqa: TID253

from ft_assets.training.rows import Row

_SIZE = {"cpu": 1_536, "cuda": 8_192}
_TIMES = 4


def needed_flop(model: PeftModel, rows: Sequence[Row]) -> float:
    """Floating-point operations that learning the rows once cannot do without, whatever else is computed.

    The frozen weights count forwards and for the gradients of their inputs, the adapter for those of its weights too,
    causal attention three times, the vocabulary at answers only.
    """
    config = model.config
    tokens, answers = sum(len(row.ids) for row in rows), sum(sum(row.answer) for row in rows)
    output = model.get_output_embeddings()
    linear = (each for each in model.modules() if isinstance(each, torch.nn.Linear) and each is not output)
    # Not the weights' own size: one of a quantized base holds two.
    frozen = sum(each.in_features * each.out_features for each in linear if not each.weight.requires_grad)
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    vocabulary = config.vocab_size * config.hidden_size * answers
    attention = config.num_hidden_layers * config.hidden_size * sum(len(row.ids) ** 2 for row in rows)
    return 4.0 * (frozen * tokens + vocabulary) + 6.0 * (trained * tokens + attention)


def peak_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a square matrix product, measured now: the ceiling of any training."""
    size = _SIZE[device.type]
    left, right = (torch.ones(size, size, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(_TIMES):
        begun = time.monotonic()
        (left @ right)[0, 0].item()  # waits for a GPU
        seconds.append(time.monotonic() - begun)
    return 2.0 * size**3 / min(seconds)
