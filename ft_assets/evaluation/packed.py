"""Rows read end to end, without padding: what follows them, and what their answers lose.

The model must have been allowed to (`bases.packed_model.allow_packed`).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
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


@dataclass(frozen=True)
class PackedRow:
    """A row that is read.

    Attributes:
        adapter: whose states and logits are wanted; rows of one that lie side by side go through it together.
        begun: what was read of it before, if anything was.
    """

    ids: Sequence[int]
    adapter: str | None
    begun: Beginning | None = None

    @property
    def known(self) -> int:
        """Tokens that are not read any more."""
        return len(self.begun or ())

    @property
    def kind(self) -> Hashable:
        """Equal for rows whose states are the same wherever they are yet to read the same."""
        return self.adapter, self.begun and tuple(self.begun.ids)


def read_packed(
    model: PreTrainedModel, rack: AdapterRack, rows: Sequence[PackedRow], cache: DynamicCache
) -> tuple[Tensor, Tensor]:
    """Read rows into an empty cache, padded on the left there.

    Returns:
        mask, (rows, tokens): 1 where the cache holds a token; logits, (rows, vocabulary): what follows each row.
    """
    lengths = [len(row.ids) for row in rows]
    states: list[KeysAndValues] = []
    logits = _forward(model, rack, rows, [[length - 1] for length in lengths], states)
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
    both = list(zip(prompts, answers, strict=True))
    rows = [PackedRow([*prompt, *answer], adapter) for prompt, answer in both]
    # What stands before an answer's token is what predicts it.
    places = [range(len(prompt) - 1, len(prompt) + len(answer) - 1) for prompt, answer in both]
    logits = _forward(model, rack, rows, places)
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
    rows: Sequence[PackedRow],
    places: Sequence[Sequence[int]],
    states: list[KeysAndValues] | None = None,
) -> Tensor:
    """Logits after the given places of each row, all of them in their order, (places, vocabulary) in float32.

    Args:
        states: is given the keys and values of whole rows, layer by layer.
    """
    lengths = [len(row.ids) - row.known for row in rows]
    ids = [token for row in rows for token in row.ids[row.known :]]
    positions = torch.cat([torch.arange(row.known, len(row.ids)) for row in rows])
    starts = accumulate(lengths[:-1], initial=0)
    each = zip(starts, rows, places, strict=True)
    kept = [start + at - row.known for start, row, own in each for at in own]
    with packed(model):
        read = model(
            input_ids=torch.tensor([ids], device=model.device),
            position_ids=positions[None].to(model.device),
            use_cache=False,
            logits_to_keep=torch.tensor(kept, device=model.device),
            row_lengths=lengths,
            kinds=[row.kind for row in rows],
            lay_out=partial(rack.route_packed, [row.adapter for row in rows]),
            answers_each=[len(own) for own in places],
            states=states,
            past=[row.begun.states if row.begun else () for row in rows],
        )
    return read.logits[0].float()


def _padded(state: Tensor, lengths: Sequence[int]) -> Tensor:
    """(1, heads, tokens, width) of all rows to (rows, heads, longest, width), padded on the left."""
    width = max(lengths)
    parts = state[0].split(list(lengths), dim=1)
    return torch.stack([pad(part, (0, 0, width - part.shape[1], 0)) for part in parts])
