"""A running batch of answers, which requests join and leave between two steps."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

import torch  # noqa: TID253
from transformers import PreTrainedModel  # noqa: TID253

from ft_assets.evaluation.adapters import AdapterRack
from ft_assets.evaluation.batch import Batch
from ft_assets.evaluation.beginnings import Beginnings
from ft_assets.evaluation.packed import can_pack
from ft_assets.evaluation.sampling import Sampler, choose
from ft_assets.evaluation.text_stream import TextStream

Finish = Literal["stop", "length"]
R = TypeVar("R")


@dataclass(frozen=True)
class Token:
    """One step of one request. `text` is what became certain (often empty); `finish` marks the last token.

    Attributes:
        odds: natural logarithms of probabilities, before temperature: (id, value) of the chosen token, then those of
            the likeliest ones; None where the request wants none.
        broken: the model gave no number here (a weight is infinite or not a number).
    """

    request_index: int
    text: str
    token_id: int
    finish: Finish | None
    odds: tuple[tuple[int, float], ...] | None = None
    broken: bool = False


@dataclass(eq=False)
class Row:
    """A request that is being answered."""

    index: int
    prompt: list[int]
    adapter: str | None
    left: int
    sampler: Sampler
    stream: TextStream
    ends: frozenset[int]
    logprobs: int | None = None
    held: ExitStack = field(default_factory=ExitStack)  # keeps its adapter in memory

    def take(self, token_id: int, logits: torch.Tensor, broken: bool) -> Token:
        self.left -= 1
        odds = None if self.logprobs is None else _odds(logits, token_id, self.logprobs)
        if token_id in self.ends:
            return Token(self.index, self.stream.finish(), token_id, "stop", odds, broken)
        text = self.stream.push(token_id)
        if not self.stream.stopped and self.left == 0:
            text += self.stream.finish()
        finish = "stop" if self.stream.stopped else "length" if self.left == 0 else None
        return Token(self.index, text, token_id, finish, odds, broken)


class Decoding(Generic[R]):
    """A running batch: requests join it between two steps, and leave it when they end.

    Whoever is in it already waits for a newcomer's prompt to be read, and for nothing else of it.

    Args:
        model: a causal language model in evaluation mode.
        rack: its adapters.
        open_row: makes a row of a request.
        beginnings: of prompts that were read before; without them each prompt is read whole.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        rack: AdapterRack,
        open_row: Callable[[int, R], Row],
        beginnings: Beginnings | None = None,
    ) -> None:
        self._model = model
        self._rack = rack
        self._open_row = open_row
        self._beginnings = beginnings if can_pack(model) else None
        self._batch: Batch | None = None
        self._rows: list[Row] = []
        self._chosen: list[Token] = []
        self._joining: list[Row] = []

    def __len__(self) -> int:
        """Requests that it answers."""
        return len(self._rows) + len(self._joining)

    @property
    def open(self) -> bool:
        """Whether a request may join now: one whose model keeps only a window of the past must end first."""
        return self._batch is None or self._batch.joinable

    def join(self, index: int, request: R) -> None:
        """Answer one more request, whose tokens come under this index, from the next step on.

        Raises:
            WrongInput: its prompt fills the context, or its adapter is not loaded. The others go on.
        """
        self.take([self._open_row(index, request)])

    def step(self, cancelled: Callable[[int], bool] | None = None) -> list[Token]:
        """One more token of every request; an empty list once none is left.

        Args:
            cancelled: asked for every running request, which leaves where it says True.
        """
        self._advance(cancelled)
        self._admit()
        self._chosen = self._choose()
        return self._chosen

    def close(self) -> None:
        """Let go of every request and its adapter."""
        for row in [*self._rows, *self._joining]:
            row.held.close()
        self._batch, self._rows, self._joining, self._chosen = None, [], [], []

    def take(self, rows: Sequence[Row]) -> None:
        """Take in opened rows."""
        for row in rows:
            row.held.enter_context(self._rack.hold([row.adapter]))
            self._joining.append(row)

    def take_read(self, rows: Sequence[Row], batch: Batch) -> None:
        """Take in rows whose prompts a batch has read."""
        self._batch, self._rows = batch, list(rows)

    def _advance(self, cancelled: Callable[[int], bool] | None) -> None:
        """Read the tokens that were chosen last, of the rows that go on."""
        going = []
        for at, (row, token) in enumerate(zip(self._rows, self._chosen, strict=bool(self._chosen))):
            if token.finish is not None or (cancelled and cancelled(row.index)):
                row.held.close()
            else:
                going.append(at)
        if self._batch is None or not self._chosen:
            return
        if not going:
            self._batch, self._rows = None, []
            return
        if len(going) < len(self._rows):
            self._batch.keep(going)
            self._rows = [self._rows[at] for at in going]
        self._batch.read(torch.tensor([[self._chosen[at].token_id] for at in going]))

    def _admit(self) -> None:
        """Read the prompts of those that join, in one pass."""
        if not self._joining:
            return
        new = sorted(self._joining, key=_by_adapter)
        self._lay_beside(new, self._read(new))
        self._joining = []

    def _read(self, rows: list[Row]) -> Batch:
        prompts, adapters = [row.prompt for row in rows], [row.adapter for row in rows]
        if self._beginnings is None:
            return Batch(self._model, self._rack, prompts, adapters)
        begun = [self._beginnings.find(row.adapter, row.prompt) for row in rows]
        batch = Batch(self._model, self._rack, prompts, adapters, begun)
        for at, row in enumerate(rows):
            if wanted := self._beginnings.wanted(row.adapter, row.prompt, len(begun[at] or ())):
                self._beginnings.keep(row.adapter, batch.beginning(at, row.prompt, wanted))
        return batch

    def _lay_beside(self, new: list[Row], batch: Batch) -> None:
        """Rows of one adapter stay together, so that they go through it together."""
        if self._batch is None:
            self._batch, self._rows = batch, new
            return
        rows = [*self._rows, *new]
        order = sorted(range(len(rows)), key=lambda at: _by_adapter(rows[at]))
        self._batch.join(batch, order)
        self._rows = [rows[at] for at in order]

    def _choose(self) -> list[Token]:
        if self._batch is None:
            return []
        chosen, broken = choose(self._batch.logits, [row.sampler for row in self._rows])
        every = zip(self._rows, chosen, self._batch.logits, broken, strict=True)
        return [row.take(token_id, logits, is_broken) for row, token_id, logits, is_broken in every]


def _by_adapter(row: Row) -> str:
    return row.adapter or ""


def _odds(logits: torch.Tensor, token_id: int, count: int) -> tuple[tuple[int, float], ...]:
    """(id, logarithm of probability) of a token, then of the `count` likeliest."""
    values = logits.log_softmax(0)
    best = values.topk(count) if count else None
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True) if best else ()
    return ((token_id, float(values[token_id])), *pairs)
