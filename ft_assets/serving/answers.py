"""One answer: who gives it, its tokens as they come, and the row that is left of it, whatever happens."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import uuid4

from ft_assets.evaluation.decoding import Token
from ft_assets.evaluation.generation import Request
from ft_assets.registry.ledger import BASE
from ft_assets.registry.routing import Arm
from ft_assets.serving import metrics
from ft_assets.serving.adapters import Adapters, AdapterUnavailable
from ft_assets.serving.backend import Backend
from ft_assets.serving.engine import Busy, EngineFailed
from ft_assets.serving.recording import Interaction, Recorder
from ft_assets.serving.routes import Choice, Routes
from ft_assets.sources.example import Message

log = logging.getLogger(__name__)

WHOLE_SECONDS = 170.0
"""An answer in one piece is cut off then, as by `max_tokens`. BentoML gives up what has sent nothing after 180 s; an
answer that is broken off after so long, before its client got anything, has failed, whoever gave it up."""


class _Withdrawn(Exception):
    """The arm is dealt to nobody any more, and nothing of its answer was given out."""


def new_inference_id() -> str:
    """Names one answer, and cannot be guessed: whoever has it may say what they think of the answer."""
    return f"chat-{uuid4().hex}"


@dataclass
class Answer:
    """One answer in the making. `request.adapter` is set once it is known who answers."""

    choice: Choice
    messages: Sequence[Message]
    request: Request
    prompt_tokens: int
    user: str | None
    slice: str
    started: float
    inference_id: str
    api_key: str | None = None
    streamed: bool = False
    pair: str | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    address: str = BASE
    rollout: str | None = None
    text: str = ""
    tokens: list[Token] = field(default_factory=list)
    finish: str | None = None
    first_token_seconds: float | None = None
    error: str | None = None
    cancelled: bool = False

    def add(self, token: Token) -> None:
        """Take in one more token."""
        if self.first_token_seconds is None:
            self.first_token_seconds = self.seconds
        self.text += token.text
        self.tokens.append(token)
        self.finish = token.finish

    @property
    def seconds(self) -> float:
        """Since the request came."""
        return time.perf_counter() - self.started

    @property
    def answer_tokens(self) -> int:
        """Tokens made so far, the end token included."""
        return len(self.tokens)

    def start_anew(self) -> None:
        """Forget what was made so far, which nobody has seen."""
        self.text, self.tokens, self.finish, self.first_token_seconds = "", [], None, None

    def again(self, error: str | None = None) -> "Answer":
        """The same question with nothing answered yet, under an id of its own."""
        return replace(self, inference_id=new_inference_id(), error=error, tokens=[], text="", finish=None)

    def interaction(self) -> Interaction:
        """The row to record now."""
        return Interaction(
            inference_id=self.inference_id,
            model=self.choice.model,
            address=self.address,
            rollout=self.rollout,
            user=self.user,
            messages=[turn.model_dump(exclude_none=True) for turn in self.messages],
            answer=self.text,
            slice=self.slice,
            prompt_tokens=self.prompt_tokens,
            answer_tokens=self.answer_tokens,
            latency_ms=self.seconds * 1000,
            error=self.error,
            created_at=self.created_at,
            shadow=self.pair is not None,
            pair=self.pair,
            api_key=self.api_key,
            cancelled=self.cancelled,
        )


class Answerer:
    """Makes answers with the engine, and records every one of them."""

    def __init__(self, engine: Backend, adapters: Adapters, routes: Routes, recorder: Recorder) -> None:
        self._engine = engine
        self._adapters = adapters
        self._routes = routes
        self._recorder = recorder
        self._shadows: set[asyncio.Task[None]] = set()

    async def tokens(self, answer: Answer) -> AsyncGenerator[Token, None]:
        """Tokens as they are made; ends once the answer is recorded. Closing it stops the work.

        If the champion takes over from a challenger that fails, `answer` starts anew; of a streamed answer only before
        its first token, as nothing given out can be taken back. It also does if the arm has lost its traffic before the
        first token, so whoever waits in the queue is not answered by what was rolled back meanwhile.

        Raises:
            Busy: too many requests wait; nothing is recorded.
            EngineFailed, AdapterUnavailable: recorded as an error of the arm that should have answered.
        """
        try:
            async with aclosing(self._with_fallback(answer)) as tokens:
                async for token in tokens:
                    yield token
        except Busy:
            metrics.REQUESTS.labels(answer.address, "busy").inc()
            raise
        except (EngineFailed, AdapterUnavailable) as error:
            answer.error = str(error)
            self._close(answer, "error")
            raise
        except (asyncio.CancelledError, GeneratorExit):
            self._break_off(answer)
            raise
        self._close(answer, "ok")
        if answer.choice.shadow is not None:
            self._mirror(answer, answer.choice.shadow)

    def _break_off(self, answer: Answer) -> None:
        """Whoever presses "stop" has seen no failure, unless there was nothing to see: who waits too long gets 504."""
        seen = answer.streamed and answer.tokens
        if not seen and answer.seconds > WHOLE_SECONDS:
            answer.error = f"nothing was answered within {WHOLE_SECONDS:g} s"
        answer.cancelled = answer.error is None
        self._close(answer, "cancelled" if answer.cancelled else "error")

    async def _with_fallback(self, answer: Answer, ahead: bool = False) -> AsyncGenerator[Token, None]:
        choice = answer.choice
        try:
            async with aclosing(self._by(answer, choice.arm, choice.rollout, ahead=ahead)) as tokens:
                async for token in tokens:
                    if answer.answer_tokens == 1 and not self._routes.picture.holds(choice):
                        raise _Withdrawn
                    yield token
            return
        except _Withdrawn:
            assert choice.sticky is not None
            answer.choice = self._routes.picture.choose(choice.model, choice.sticky)
            following = self._with_fallback(answer, ahead=True)
        except (EngineFailed, AdapterUnavailable) as error:
            if choice.fallback is None or (answer.streamed and answer.tokens) or not self._engine.alive:
                raise
            self._note_broken(answer, str(error))
            # The champion did not get this user by lot, so the answer is no evidence for the rollout.
            answer.choice = replace(choice, arm=choice.fallback, fallback=None, rollout=None, shadow=None)
            following = self._with_fallback(answer, ahead=isinstance(error, EngineFailed))
        answer.start_anew()
        async with aclosing(following) as tokens:
            async for token in tokens:
                yield token

    async def _by(
        self,
        answer: Answer,
        arm: Arm,
        rollout: str | None,
        background: bool = False,
        ahead: bool = False,
    ) -> AsyncGenerator[Token, None]:
        """Tokens of one arm."""
        answer.address, answer.rollout = arm.address, rollout
        answer.request = replace(answer.request, adapter=arm.adapter_digest)
        async with (
            self._in_memory(arm),
            aclosing(self._engine.stream(answer.request, background, ahead)) as stream,
        ):
            async for token in stream:
                answer.add(token)
                yield token
                if not (answer.streamed or background) and answer.seconds > WHOLE_SECONDS:
                    answer.finish = "length"
                    return

    def _in_memory(self, arm: Arm) -> AbstractAsyncContextManager[None]:
        if arm.address == BASE:
            return nullcontext()
        release = self._routes.picture.releases.get(arm.address)
        if release is None:
            raise AdapterUnavailable(f"{arm.address} is not released")
        return self._adapters.using(release)

    def _mirror(self, answer: Answer, challenger: Arm) -> None:
        """Ask the challenger what the champion has answered, for the rollout alone to see."""
        shadow = answer.again()
        shadow.pair, shadow.streamed, shadow.created_at = answer.inference_id, False, datetime.now(UTC)
        shadow.started, shadow.first_token_seconds = time.perf_counter(), None
        task = asyncio.create_task(self._shadow(shadow, challenger))
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    async def _shadow(self, shadow: Answer, challenger: Arm) -> None:
        status = "ok"
        try:
            async with aclosing(
                self._by(shadow, challenger, shadow.choice.rollout, background=True)
            ) as tokens:
                async for _ in tokens:
                    pass
        except Busy:
            metrics.SHADOWS.labels(challenger.address, "dropped").inc()
            return
        except (EngineFailed, AdapterUnavailable) as error:
            if not self._engine.alive:  # the server stops: no fault of the challenger's
                return
            shadow.error, status = str(error), "error"
        metrics.SHADOWS.labels(challenger.address, status).inc()
        self._recorder.record(shadow.interaction())

    async def finish(self) -> None:
        """Wait for the answers in the shadow."""
        await asyncio.gather(*self._shadows, return_exceptions=True)

    def _note_broken(self, answer: Answer, error: str) -> None:
        """Leave a row of the challenger's failure: the rollout must see it, though the user does not."""
        log.error("%s cannot answer, so the champion does: %s", answer.address, error)
        metrics.FALLBACKS.labels(answer.address).inc()
        self._close(answer.again(error), "error")

    def _close(self, answer: Answer, status: str) -> None:
        metrics.count(answer.address, status, answer.prompt_tokens, answer.answer_tokens)
        metrics.observe(answer.address, answer.seconds, answer.first_token_seconds)
        self._recorder.record(answer.interaction())
