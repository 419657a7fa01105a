"""What prompts begin with again and again is read once.

Prompts to one adapter begin alike: a system turn, the words of a task. Attention is causal, so the keys and values of
a beginning are the same whatever follows it, and the next prompt that begins so is read from there on. A beginning is
kept the second time it is seen. It belongs to an adapter, as every adapter makes other states of the same words.
"""

from collections import OrderedDict, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch  # noqa: TID253

from ft_assets.bases.packed_attention import KeysAndValues

SHORTEST = 16
"""Tokens; a shorter beginning is not worth its bookkeeping."""
MAX_BYTES = 256 * 2**20
"""Of states kept; beyond it the beginning used longest ago goes. SmolLM2-135M takes 46 KB a token in float32."""
_RECENT = 8
"""Prompts of an adapter that a new one is compared with."""


@dataclass(frozen=True)
class Beginning:
    """The first tokens of a prompt, read. `states`: of each layer, (1, heads, tokens, width)."""

    ids: Sequence[int]
    states: Sequence[KeysAndValues]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> int:
        """Bytes of its states."""
        return sum(each.nbytes for layer in self.states for each in layer)

    def cut(self, length: int) -> "Beginning":
        """Its first tokens only; shares its memory."""
        return Beginning(
            self.ids[:length], [(keys[:, :, :length], values[:, :, :length]) for keys, values in self.states]
        )


class Beginnings:
    """Those of all adapters of one base. `max_bytes`: of states in memory."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[str | None, tuple[int, ...]], Beginning] = OrderedDict()
        self._recent: dict[str | None, deque[Sequence[int]]] = defaultdict(lambda: deque(maxlen=_RECENT))

    def __len__(self) -> int:
        """Beginnings kept."""
        return len(self._kept)

    def find(self, adapter: str | None, prompt: Sequence[int]) -> Beginning | None:
        """The most that is known of a prompt's beginning; one token at least is left to read."""
        mine = [(common(kept.ids, prompt[:-1]), key) for key, kept in self._kept.items() if key[0] == adapter]
        length, key = max(mine, key=lambda each: each[0], default=(0, None))
        if key is None or length < SHORTEST:
            return None
        self._kept.move_to_end(key)
        return self._kept[key].cut(length)

    def wanted(self, adapter: str | None, prompt: Sequence[int], known: int) -> int:
        """How much of a prompt is worth keeping, in tokens; 0 if nothing is. Remembers the prompt.

        Args:
            known: tokens that it was found to begin with, before others of its batch were kept.
        """
        recent, least = self._recent[adapter], known + SHORTEST
        alike = [other for other in recent if other[:least] == prompt[:least]]
        length = max((common(prompt, other) for other in alike), default=0)
        recent.append(prompt)
        return 0 if length < least or self._has(adapter, tuple(prompt[:length])) else length

    def _has(self, adapter: str | None, ids: tuple[int, ...]) -> bool:
        return any(name == adapter and kept[: len(ids)] == ids for name, kept in self._kept)

    def keep(self, adapter: str | None, beginning: Beginning) -> None:
        """Keep a beginning in place of those that it goes on from."""
        ids = tuple(beginning.ids)
        for key in [key for key in self._kept if key[0] == adapter and ids[: len(key[1])] == key[1]]:
            del self._kept[key]
        self._kept[adapter, ids] = beginning
        while sum(kept.size for kept in self._kept.values()) > self._max_bytes:
            self._kept.popitem(last=False)

    def forget(self, adapter: str) -> None:
        """Forget all of an adapter, whose name may be given to other weights."""
        self._recent.pop(adapter, None)
        for key in [key for key in self._kept if key[0] == adapter]:
            del self._kept[key]


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two rows begin with alike."""
    length = min(len(one), len(other))
    differ = torch.tensor(one[:length]).ne(torch.tensor(other[:length])).nonzero()
    return int(differ[0]) if len(differ) else length
