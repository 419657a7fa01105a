"""One row for every answer, written before the answer ends, never on the event loop.

The writer waits as long as the database's own busy timeout. An answer waits for its row at most
`PATIENCE_SECONDS`, then goes out: it must not be lost because a row is late, or cannot be written at all.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ft_assets.serving.metrics import RECORDING_FAILURES
from ft_assets.storage.home import Home
from ft_assets.storage.tables import interactions

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Interaction:
    """A row of table `interactions`; times are aware, latency counts from the request's arrival."""

    inference_id: str
    model: str
    address: str
    rollout: str | None
    user: str | None
    messages: list[dict[str, Any]]
    answer: str
    slice: str
    prompt_tokens: int
    answer_tokens: int
    latency_ms: float
    error: str | None
    created_at: datetime


class Recorder:
    """Writes interactions from one thread, in the order in which they come."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")

    async def record(self, interaction: Interaction) -> None:
        """Write the row; return when it is committed, has failed, or is late. Never raises for a database."""
        written = asyncio.wrap_future(self._writer.submit(self._write, interaction))
        done, _ = await asyncio.wait([written], timeout=PATIENCE_SECONDS)
        if not done:
            log.warning("interaction %s is not recorded yet; its answer goes out", interaction.inference_id)

    def close(self) -> None:
        """Wait until every row is written."""
        self._writer.shutdown(wait=True)

    def _write(self, interaction: Interaction) -> None:
        try:
            with self._home.database.write() as connection:
                connection.execute(sa.insert(interactions).values(asdict(interaction)))
        except Exception as error:
            RECORDING_FAILURES.inc()
            # Not the whole error: SQLAlchemy puts the row into it, and logs are no place for what users say.
            why = getattr(error, "orig", None) or type(error).__name__
            log.error("interaction %s was not recorded: %s", interaction.inference_id, why)
