"""The engine: one frozen base and its adapters, used alike by the gate and by the service.

What the gate measures is therefore what users get. An engine belongs to one thread: nothing here locks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch  # noqa: TID253
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel  # noqa: TID253

from ft_assets.bases.frozen_linear import freeze_linears
from ft_assets.bases.packed_model import allow_packed
from ft_assets.curation.chat import Turn, encode_example, encode_prompt
from ft_assets.errors import BrokenEnvironment, WrongInput
from ft_assets.evaluation.adapters import AdapterRack
from ft_assets.evaluation.batch import Batch
from ft_assets.evaluation.beginnings import Beginnings
from ft_assets.evaluation.decoding import Decoding, Finish, Row, Token
from ft_assets.evaluation.packed import can_pack, packed_nats
from ft_assets.evaluation.sampling import Sampler
from ft_assets.evaluation.scoring import answer_nats
from ft_assets.evaluation.text_stream import TextStream


@dataclass(frozen=True)
class Request:
    """One answer that is wanted. `adapter` None is the bare base; `temperature` 0 is greedy.

    Attributes:
        logprobs: how many of the likeliest tokens to tell beside each chosen one; None tells no probabilities.
        prompt_ids: the prompt as ids, in place of `messages`.
    """

    messages: Sequence[Turn]
    adapter: str | None
    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    stop: Sequence[str] = ()
    logprobs: int | None = None
    prompt_ids: Sequence[int] | None = None


@dataclass(frozen=True)
class Answer:
    """A whole answer. `answer_tokens` counts every generated token, the end token included."""

    text: str
    prompt_tokens: int
    answer_tokens: int
    finish: Finish


@dataclass(frozen=True)
class Examined:
    """A known answer's loss, summed nats over `tokens` (end token included), and the model's own answer."""

    nats: float
    tokens: int
    answer: Answer


class Engine:
    """Scores and generates. Rows of a batch do not influence each other, beyond float rounding.

    Attributes:
        tokenizer: the base's.
        context: the most tokens that prompt and answer may have together.
        vocabulary: number of token ids.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Any) -> None:
        self._model = model.eval().requires_grad_(False)
        self._rack = AdapterRack(model)
        self._beginnings = Beginnings()
        allow_packed(model)
        self._ends = _end_ids(model, tokenizer)
        self.tokenizer = tokenizer
        self.context = int(model.config.max_position_embeddings)
        self.vocabulary = int(model.config.vocab_size)

    @classmethod
    def load(cls, base: Path, device: str = "auto") -> "Engine":
        """Load a folder of safetensors and tokenizer: float32 on a CPU, bfloat16 on a GPU.

        Args:
            base: folder of a "bases" artifact.
            device: `auto` (a GPU where there is one), `cpu` or `cuda`.

        Raises:
            BrokenEnvironment: a GPU was asked for and there is none.
        """
        chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        if chosen == "cuda" and not torch.cuda.is_available():
            raise BrokenEnvironment("no CUDA device was found; set `device: cpu`, or `auto`")
        dtype = torch.float32 if chosen == "cpu" else torch.bfloat16
        options = {"local_files_only": True, "trust_remote_code": False}
        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, use_safetensors=True, **options)
        model = model.to(chosen)
        freeze_linears(model)
        return cls(model, AutoTokenizer.from_pretrained(base, **options))

    @property
    def adapters(self) -> list[str]:
        """Names of the adapters in memory, sorted."""
        return self._rack.names

    def add_adapter(self, name: str, folder: Path) -> None:
        """Load an adapter beside the base, also while a `decode` is suspended; see `AdapterRack.add`."""
        self._rack.add(name, folder)

    def drop_adapter(self, name: str) -> None:
        """Forget an adapter; refused while a decode uses it."""
        self._rack.drop(name)
        self._beginnings.forget(name)

    def fits(self, conversation: Sequence[Turn]) -> bool:
        """Whether a conversation, its answer included, can be scored."""
        return len(encode_example(self.tokenizer, conversation)[0]) <= self.context

    def decode(
        self, requests: Sequence[Request], cancelled: Callable[[int], bool] | None = None
    ) -> Iterator[list[Token]]:
        """Answer requests together; yields one list a step, one token for each request that still runs.

        Args:
            requests: may name different adapters.
            cancelled: asked for every running request (by index) before each step; a request for which it says
                True leaves the batch without another token.

        Raises:
            WrongInput: a prompt fills the context, or an adapter is not loaded. No request is answered then.
        """
        yield from self._run(self._open_all(requests), cancelled)

    def generate(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer requests as one batch, in their order. Raises what `decode` raises."""
        rows = self._open_all(requests)
        return _collect(self._run(rows, None), rows)

    def score(
        self, conversations: Sequence[Sequence[Turn]], adapter: str | None = None
    ) -> list[tuple[float, int]]:
        """Loss of each conversation's answer, read as one batch: (summed nats, tokens, the end token included).

        Raises:
            WrongInput: a conversation does not end with an answer, or is longer than the context.
        """
        if not conversations:
            return []
        prompts, answers = zip(*map(self._split, conversations), strict=True)
        with self._rack.hold([adapter]):
            if can_pack(self._model):
                nats = packed_nats(self._model, self._rack, prompts, answers, adapter)
            else:
                nats = answer_nats(Batch(self._model, self._rack, prompts, [adapter] * len(prompts)), answers)
        return [(loss, len(answer)) for loss, answer in zip(nats, answers, strict=True)]

    def examine(
        self, conversations: Sequence[Sequence[Turn]], adapter: str | None, max_new_tokens: int
    ) -> list[Examined]:
        """`score` and greedy `generate` of the same conversations, reading each prompt only once."""
        if not conversations:
            return []
        prompts, known = zip(*map(self._split, conversations), strict=True)
        rows = self._open_all([Request(turns[:-1], adapter, max_new_tokens) for turns in conversations])
        with self._rack.hold([adapter]):
            batch = Batch(self._model, self._rack, prompts, [adapter] * len(prompts))
            nats = answer_nats(batch, known)
            decoding = self.start()
            decoding.take_read(rows, batch)
            own = _collect(iter(decoding.step, []), rows)
        return [Examined(*each) for each in zip(nats, map(len, known), own, strict=True)]

    def start(self, reuse: bool = False) -> Decoding[Request]:
        """A batch of nothing, which requests may join; see `Decoding`.

        Args:
            reuse: read what prompts begin with only once. Rounding then depends on what was asked before, so it is
                for those who serve, and not for those who judge.
        """
        return Decoding(self._model, self._rack, self._open, self._beginnings if reuse else None)

    def _run(self, rows: Sequence[Row], cancelled: Callable[[int], bool] | None) -> Iterator[list[Token]]:
        decoding = self.start()
        try:
            decoding.take([row for row in rows if not (cancelled and cancelled(row.index))])
            while step := decoding.step(cancelled):
                yield step
        finally:
            decoding.close()

    def _open_all(self, requests: Sequence[Request]) -> list[Row]:
        return [self._open(index, request) for index, request in enumerate(requests)]

    def _open(self, index: int, request: Request) -> Row:
        given = request.prompt_ids
        prompt = list(given) if given is not None else encode_prompt(self.tokenizer, request.messages)
        room = self.context - len(prompt)
        if room < 1:
            raise WrongInput(
                f"a prompt of {len(prompt)} tokens fills the context of {self.context}; shorten it"
            )
        self._rack.require(request.adapter)
        return Row(
            index=index,
            prompt=prompt,
            adapter=request.adapter,
            left=min(request.max_new_tokens, room),
            sampler=Sampler(request.temperature, request.top_p, request.seed),
            stream=TextStream(self.tokenizer, request.stop),
            ends=self._ends,
            logprobs=request.logprobs,
        )

    def _split(self, turns: Sequence[Turn]) -> tuple[list[int], list[int]]:
        ids, is_answer = encode_example(self.tokenizer, turns)
        if len(ids) > self.context:
            raise WrongInput(
                f"a conversation of {len(ids)} tokens is longer than the context of {self.context}"
            )
        start = is_answer.index(True)
        return ids[:start], ids[start:]


def _collect(steps: Iterator[list[Token]], rows: Sequence[Row]) -> list[Answer]:
    pieces: list[list[Token]] = [[] for _ in rows]
    for step in steps:
        for token in step:
            pieces[token.request_index].append(token)
    return [
        Answer(
            text="".join(token.text for token in tokens),
            prompt_tokens=len(row.prompt),
            answer_tokens=len(tokens),
            finish=tokens[-1].finish or "length",
        )
        for row, tokens in zip(rows, pieces, strict=True)
    ]


def _end_ids(model: PreTrainedModel, tokenizer: Any) -> frozenset[int]:
    """Ids that end an answer: those of the generation settings and the tokenizer's end token."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(token_id for token_id in [*ids, tokenizer.eos_token_id] if token_id is not None)
