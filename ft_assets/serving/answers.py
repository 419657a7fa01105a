"""One answer: who gives it, its tokens as they come, and the row that is left of it, whatever happens."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import uuid4

from ft_assets.evaluation.generation import Request, Token
from ft_assets.registry.ledger import BASE
from ft_assets.registry.routing import Arm
from ft_assets.serving import metrics
from ft_assets.serving.adapters import Adapters, AdapterUnavailable
from ft_assets.serving.engine import Busy, EngineFailed, EngineThread
from ft_assets.serving.recording import Interaction, Recorder
from ft_assets.serving.routes import Choice, Routes
from ft_assets.sources.example import Message

log = logging.getLogger(__name__)

CLIENT_LEFT = "the client closed the connection"


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
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    address: str = BASE
    rollout: str | None = None
    text: str = ""
    answer_tokens: int = 0
    finish: str | None = None
    first_token_seconds: float | None = None
    error: str | None = None

    def add(self, token: Token) -> None:
        """Take in one more token."""
        if self.first_token_seconds is None:
            self.first_token_seconds = time.perf_counter() - self.started
        self.text += token.text
        self.answer_tokens += 1
        self.finish = token.finish

    def interaction(self) -> Interaction:
        """The row to record now."""
        return Interaction(
            inference_id=self.inference_id,
            model=self.choice.model,
            address=self.address,
            rollout=self.rollout,
            user=self.user,
            messages=[{"role": turn.role, "content": turn.content} for turn in self.messages],
            answer=self.text,
            slice=self.slice,
            prompt_tokens=self.prompt_tokens,
            answer_tokens=self.answer_tokens,
            latency_ms=(time.perf_counter() - self.started) * 1000,
            error=self.error,
            created_at=self.created_at,
        )


class Answerer:
    """Makes answers with the engine, and records every one of them."""

    def __init__(self, engine: EngineThread, adapters: Adapters, routes: Routes, recorder: Recorder) -> None:
        self._engine = engine
        self._adapters = adapters
        self._routes = routes
        self._recorder = recorder
        self._rows: set[asyncio.Task[None]] = set()

    async def texts(self, answer: Answer) -> AsyncGenerator[str, None]:
        """Pieces of text as they are made; ends once the answer is recorded. Closing it stops the work.

        Raises:
            Busy: too many requests wait; nothing is recorded.
            EngineFailed, AdapterUnavailable: recorded as an error of the arm that should have answered.
        """
        try:
            async with self._arm(answer), aclosing(self._engine.stream(answer.request)) as tokens:
                async for token in tokens:
                    answer.add(token)
                    if token.text:
                        yield token.text
        except Busy:
            metrics.REQUESTS.labels(answer.address, "busy").inc()
            raise
        except (EngineFailed, AdapterUnavailable) as error:
            answer.error = str(error)
            await self._close(answer, "error")
            raise
        except (asyncio.CancelledError, GeneratorExit):
            answer.error = CLIENT_LEFT
            self._close(answer, "cancelled")  # not awaited: nothing may be awaited in a cancelled task
            raise
        await self._close(answer, "ok")

    async def finish(self) -> None:
        """Wait for rows that are being written."""
        await asyncio.gather(*self._rows)

    @asynccontextmanager
    async def _arm(self, answer: Answer) -> AsyncIterator[None]:
        choice = answer.choice
        async with AsyncExitStack() as stack:
            try:
                await self._take(stack, answer, choice.arm, choice.rollout)
            except AdapterUnavailable as error:
                if choice.fallback is None:
                    raise
                self._note_broken(answer, str(error))
                # The champion did not get this user by lot, so the answer is no evidence for the rollout.
                await self._take(stack, answer, choice.fallback, None)
            yield

    async def _take(self, stack: AsyncExitStack, answer: Answer, arm: Arm, rollout: str | None) -> None:
        answer.address, answer.rollout = arm.address, rollout
        if arm.address != BASE:
            release = self._routes.picture.releases.get(arm.address)
            if release is None:
                raise AdapterUnavailable(f"{arm.address} is not released")
            await stack.enter_async_context(self._adapters.using(release))
        answer.request = replace(answer.request, adapter=arm.adapter_digest)

    def _note_broken(self, answer: Answer, error: str) -> None:
        """Leave a row of the challenger's failure: the rollout must see it, though the user does not."""
        log.error("%s cannot answer, so the champion does: %s", answer.address, error)
        metrics.FALLBACKS.labels(answer.address).inc()
        self._close(replace(answer, inference_id=new_inference_id(), error=error), "error")

    def _close(self, answer: Answer, status: str) -> asyncio.Task[None]:
        metrics.count(answer.address, status, answer.prompt_tokens, answer.answer_tokens)
        metrics.observe(answer.address, time.perf_counter() - answer.started, answer.first_token_seconds)
        row = asyncio.create_task(self._recorder.record(answer.interaction()))
        self._rows.add(row)
        row.add_done_callback(self._rows.discard)
        return row
