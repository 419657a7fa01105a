"""One row for every answer, and one for every piece of feedback, whether the database is there or not.

An answer's row is a line in this process's journal before the answer ends, which costs some tens of microseconds. The
server's companion delivers what the journal holds, in a process of its own: beside the engine, in one interpreter, it
would hold up every answer of that moment.

A server that is killed loses nothing: its companion, or that of another server of the same home, delivers what it left.
A power cut loses what was not yet synced: rows of the last half second, or of up to two while the database is away or
slow. It loses no feedback whose sender was answered.
"""

import asyncio
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ft_assets.serving.companion import Companion, Report
from ft_assets.serving.deliverer import JOURNALS, keep_feedback
from ft_assets.serving.delivery import give_up
from ft_assets.serving.feedback import Feedback
from ft_assets.serving.problems import ApiProblem
from ft_assets.storage.home import Home
from ft_assets.storage.journal import Journal


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
    cancelled: bool = False


class Recorder:
    """Keeps what happened. Several servers of one home have a journal each.

    Args:
        home: the installation.
        companion: gets what is kept here, and delivers it.
    """

    def __init__(self, home: Home, companion: Companion) -> None:
        self._journal = Journal(home.scratch / JOURNALS)
        self._companion = companion
        self._heir: str | None = None  # name of the companion's journal
        self._behind = False
        self._keeping = threading.Lock()  # the journal's `sync` must not run beside its `hand_over`

    def record(self, interaction: Interaction) -> None:
        """Keep the row of an answer. Never raises, and waits for no database and no other thread's work."""
        keep_answer(self._journal, interaction)

    async def feedback(self, feedback: Feedback) -> bool | None:
        """Store feedback: True if this call made the row, False if it was there, None if it waits on disk.

        Raises:
            ApiProblem: see `insert_feedback`; 503, it could not be kept at all.
        """
        if not self._behind:  # else it waits as well, and so may its answer, which may be here
            self._hand_over()
        told = await self._companion.ask(feedback.as_json())
        if told is None:  # it may be stored all the same, and is not stored again then
            return await asyncio.to_thread(self._keep, feedback)
        if told["problem"]:
            raise ApiProblem(**told["problem"])
        return told["made"]

    def heard(self, report: Report) -> None:
        """The companion has delivered what it had, and can do with more."""
        self._heir, self._behind = report["journal"], report["behind"]
        self._hand_over()

    def close(self) -> None:
        """Hand over what is left; what cannot be is for the next server."""
        with self._keeping:
            self._give()
            self._journal.close()

    def _hand_over(self) -> None:
        if self._keeping.acquire(blocking=False):  # else the next turn will do
            try:
                self._give()
            finally:
                self._keeping.release()

    def _give(self) -> None:
        if self._heir is not None and self._companion.up:
            with suppress(OSError):  # the next turn tries again
                self._journal.hand_over(self._heir)

    def _keep(self, feedback: Feedback) -> None:
        keep_feedback(self._journal, feedback, self._keeping)


def keep_answer(journal: Journal, interaction: Interaction) -> None:
    """Append the row of an answer to a journal, or say that it is lost."""
    try:
        journal.append({"table": "interactions", **vars(interaction)})
    except Exception as error:
        give_up(vars(interaction), error)
