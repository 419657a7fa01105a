"""Rows of one adapter read end to end, without padding: what follows them, and what their answers lose.

The model must have been allowed to (`bases.packed_model.allow_packed`).
"""

from collections.abc import Sequence
from typing import Any

import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253
from torch.nn.functional import cross_entropy, pad  # noqa: TID253
from transformers import DynamicCache, PreTrainedModel  # noqa: TID253

from ft_assets.bases.packed_attention import KeysAndValues
from ft_assets.bases.packed_model import packed
from ft_assets.evaluation.adapters import AdapterRack
from ft_assets.evaluation.beginnings import Beginning

_TOKENS = 2_048
"""Tokens read at a time where nothing is kept of them: bounds memory, and rows still share their beginning."""


def can_pack(model: PreTrainedModel) -> bool:
    """Whether every layer of the model attends to whole rows; one that looks through a window is read padded."""
    return holds_whole_rows(DynamicCache(config=model.config))


def holds_whole_rows(cache: DynamicCache) -> bool:
    """Whether the cache keeps every position, as no layer looks through a window."""
    layers: list[Any] = cache.layers
    return not any(layer.is_sliding for layer in layers)


def read_packed(
    model: PreTrainedModel,
    rack: AdapterRack,
    rows: Sequence[Sequence[int]],
    adapter: str | None,
    cache: DynamicCache,
    begun: Beginning | None = None,
) -> tuple[Tensor, Tensor]:
    """Read rows into an empty cache, padded on the left there.

    Args:
        begun: what all rows begin with, if it was read before.

    Returns:
        mask, (rows, tokens): 1 where the cache holds a token; logits, (rows, vocabulary): what follows each row.
    """
    lengths = [len(row) for row in rows]
    ends = torch.tensor(lengths).cumsum(0) - 1
    states: list[KeysAndValues] = []
    ends -= torch.arange(1, len(rows) + 1) * len(begun or ())
    logits = _forward(model, rack, rows, adapter, ends, states, begun)
    for layer, each in enumerate(states):
        keys, values = (_padded(state, lengths) for state in each)
        cache.update(keys, values, layer)
    width = max(lengths)
    mask = torch.tensor([[0] * (width - length) + [1] * length for length in lengths], device=model.device)
    return mask, logits


@torch.inference_mode()
def packed_nats(
    model: PreTrainedModel,
    rack: AdapterRack,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    adapter: str | None,
) -> list[float]:
    """Summed negative log likelihood of each row's answer after its prompt, in nats."""
    nats: list[float] = []
    for start, stop in _groups([len(p) + len(a) for p, a in zip(prompts, answers, strict=True)]):
        nats += _nats(model, rack, prompts[start:stop], answers[start:stop], adapter)
    return nats


def _nats(
    model: PreTrainedModel,
    rack: AdapterRack,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    adapter: str | None,
) -> list[float]:
    rows = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    starts = torch.tensor([0, *(len(row) for row in rows[:-1])]).cumsum(0).tolist()
    # What stands before an answer's token is what predicts it.
    places = [
        start + len(prompt) - 1 + at
        for start, prompt, answer in zip(starts, prompts, answers, strict=True)
        for at in range(len(answer))
    ]
    logits = _forward(model, rack, rows, adapter, torch.tensor(places), None)
    targets = torch.tensor([token for answer in answers for token in answer], device=model.device)
    losses = cross_entropy(logits, targets, reduction="none").double()
    return [part.sum().item() for part in losses.split([len(answer) for answer in answers])]


def _groups(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Bounds of neighbouring rows that are read together, of `_TOKENS` tokens at most where a row allows it."""
    groups, start, held = [], 0, 0
    for at, length in enumerate(lengths):
        if held and held + length > _TOKENS:
            groups.append((start, at))
            start, held = at, 0
        held += length
    return [*groups, (start, len(lengths))]


@torch.inference_mode()
def _forward(
    model: PreTrainedModel,
    rack: AdapterRack,
    rows: Sequence[Sequence[int]],
    adapter: str | None,
    places: Tensor,
    states: list[KeysAndValues] | None,
    begun: Beginning | None = None,
) -> Tensor:
    """Logits after the given places of all rows laid end to end, (places, vocabulary) in float32.

    Places count what is read: of each row what comes after `begun`.
    """
    rack.route([adapter])
    known = len(begun or ())
    ids = torch.tensor([[token for row in rows for token in row[known:]]], device=model.device)
    positions = torch.cat([torch.arange(known, len(row)) for row in rows])[None].to(model.device)
    with packed(model):
        read = model(
            input_ids=ids,
            position_ids=positions,
            use_cache=False,
            logits_to_keep=places.to(model.device),
            row_lengths=[len(row) - known for row in rows],
            states=states,
            past=begun.states if begun else None,
        )
    return read.logits[0].float()


def _padded(state: Tensor, lengths: Sequence[int]) -> Tensor:
    """(1, heads, tokens, width) of all rows to (rows, heads, longest, width), padded on the left."""
    width = max(lengths)
    parts = state[0].split(list(lengths), dim=1)
    return torch.stack([pad(part, (0, 0, width - part.shape[1], 0)) for part in parts])
