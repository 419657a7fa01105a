"""One row for every answer, and one for every piece of feedback, whether the database is there or not.

One thread writes, in the order in which rows come, never on the event loop. While the database is away or locked,
rows go to a file on disk, and from there to the database once it is back: each arrives exactly once, because both
tables refuse a second row of the same id. An answer waits for its row at most `PATIENCE_SECONDS`, then goes out.
"""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError

from ft_assets.serving.feedback import Feedback, store_feedback
from ft_assets.serving.metrics import RECORDING_FAILURES, SPOOLED
from ft_assets.serving.problems import ApiProblem
from ft_assets.storage.home import Home
from ft_assets.storage.spool import Spool
from ft_assets.storage.tables import interactions

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 5.0
LOCK_SECONDS = 1.0
"""How long the writer waits for a locked database before it takes it to be away."""
DELIVERY_SECONDS = 1.0
"""Between two tries to deliver what waits on disk."""
DELIVERY_LOCK_SECONDS = 0.1
"""Less patience for them: new rows wait behind the try."""


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
    shadow: bool = False
    pair: str | None = None
    api_key: str | None = None


class Recorder:
    """Writes what happened. Several servers of one home may share the file on disk."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="recorder")
        self._spool = Spool(home.scratch / "serving" / "spool.jsonl")

    async def record(self, interaction: Interaction) -> None:
        """Write the row; return when it is kept, has failed, or is late. Never raises for a database."""
        written = asyncio.wrap_future(self._writer.submit(self._write, interaction))
        done, _ = await asyncio.wait([written], timeout=PATIENCE_SECONDS)
        if not done:
            log.warning("interaction %s is not recorded yet; its answer goes out", interaction.inference_id)

    async def feedback(self, feedback: Feedback) -> bool | None:
        """Store feedback: True if this call made the row, False if it was there, None if it waits on disk.

        Raises:
            ApiProblem: see `store_feedback`; 503, it could not be kept at all.
        """
        return await asyncio.wrap_future(self._writer.submit(self._store, feedback))

    async def keep_delivering(self) -> None:
        """Deliver what waits on disk, until cancelled."""
        while True:
            await asyncio.sleep(DELIVERY_SECONDS)
            if not self._spool.empty:
                await asyncio.wrap_future(self._writer.submit(self.deliver))

    def deliver(self) -> None:
        """Deliver what waits on disk, as far as the database takes it."""
        try:
            if count := self._spool.deliver(self._deliver_one):
                log.info("%d rows that waited on disk are in the database", count)
        except Exception as error:
            log.warning("rows wait on disk; the database takes none: %s", _why(error))

    def close(self) -> None:
        """Wait until every row is written."""
        self._writer.shutdown(wait=True)

    def _write(self, interaction: Interaction) -> None:
        row = asdict(interaction)
        try:
            if self._spool.empty:  # else this row waits behind the others
                return self._insert(row)
        except (IntegrityError, DataError) as error:
            return self._give_up(interaction.inference_id, error)
        except Exception as error:
            log.warning("interaction %s goes to disk: %s", interaction.inference_id, _why(error))
        self._keep({"table": "interactions", **row, "created_at": row["created_at"].isoformat()})

    def _store(self, feedback: Feedback) -> bool | None:
        try:
            if self._spool.empty:
                return store_feedback(self._home, feedback, LOCK_SECONDS)
        except (ApiProblem, IntegrityError, DataError):
            raise
        except Exception as error:
            log.warning("feedback on %s goes to disk: %s", feedback.inference_id, _why(error))
        if not self._keep({"table": "feedback", **feedback.as_json()}):
            raise ApiProblem(503, "the feedback could not be kept; send it again", code="not_stored")
        return None

    def _keep(self, row: dict[str, Any]) -> bool:
        try:
            self._spool.append(row)
        except OSError as error:
            self._give_up(row["inference_id"], error)
            return False
        SPOOLED.inc()
        return True

    def _deliver_one(self, row: dict[str, Any]) -> None:
        kind = row.pop("table")
        try:
            if kind == "feedback":
                store_feedback(self._home, Feedback.from_json(row), DELIVERY_LOCK_SECONDS)
            else:
                made = {**row, "created_at": datetime.fromisoformat(row["created_at"])}
                self._insert(made, DELIVERY_LOCK_SECONDS)
        except (ApiProblem, IntegrityError, DataError) as error:
            # It will never be taken, and must not keep those behind it waiting.
            self._give_up(row["inference_id"], error)

    def _insert(self, row: dict[str, Any], patience: float = LOCK_SECONDS) -> None:
        with self._home.database.write(patience) as connection:
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
            once = insert(interactions).values(row).on_conflict_do_nothing(index_elements=["inference_id"])
            connection.execute(once)

    def _give_up(self, inference_id: str, error: Exception) -> None:
        RECORDING_FAILURES.inc()
        log.error("what belongs to %s was not recorded: %s", inference_id, _why(error))


def _why(error: Exception) -> Any:
    # Not the whole error: SQLAlchemy puts the row into it, and logs are no place for what users say.
    return getattr(error, "orig", None) or getattr(error, "message", None) or type(error).__name__
