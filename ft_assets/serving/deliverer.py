"""What brings rows from the journals to the database, whether it is there or not.

It runs in a process beside the server's (`companion_process.py`), about four times a second, many rows in one
transaction. While the database is away or locked, rows wait on disk. Each arrives exactly once, because both tables
refuse a second row of the same id, and in the order in which the server answered.
"""

import asyncio
import errno
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from ft_assets.serving.delivery import deliver_rows, give_up, is_of_a_row, why
from ft_assets.serving.feedback import UNKNOWN, Feedback, store_feedback
from ft_assets.serving.metrics import JOURNAL
from ft_assets.serving.problems import ApiProblem
from ft_assets.storage.home import Home
from ft_assets.storage.journal import Journal, batches
from ft_assets.storage.postgres import heard_within
from ft_assets.storage.sync import sync

log = logging.getLogger(__name__)

DELIVERY_SECONDS = 0.25
"""Between two deliveries; the rows of that time share a transaction. Each costs the server itself about a third of a
millisecond, which the answers of that moment feel."""
AWAY_SECONDS = 2.0
"""Between two tries, once the database has been away for a while."""
ADOPT_SECONDS = 0.5
"""Between two looks for what servers that ended have left."""
LOCK_SECONDS = 1.0
"""How long the writer waits for a locked database before it takes it to be away."""
AWAY_LOCK_SECONDS = 0.1
"""Less patience from then on: whether it is back can be asked again."""
SILENT_SECONDS = 10.0
"""How long the writer waits for a word of a Postgres that hangs. Its transaction may be committed all the same, and
is tried again: nothing arrives twice."""
FEEDBACK_SECONDS = 2.0
"""How long feedback waits for the writer before it is kept on disk. Longer than for a lock."""
CLOSE_SECONDS = 3.0
"""The same for a server that ends."""
JOURNALS = "serving/journal"
"""Folder of all journals, in a home's scratch folder."""
FILES_AT_ONCE = 20
"""Of a backlog, before feedback gets a turn."""
UNKNOWN_SECONDS = 1.0
"""How long feedback waits for its answer's row, where that may be on its way from another server."""
LOOK_SECONDS = 0.025
"""Until the first look whether it has come; each that follows takes twice as long to come."""
LATE_SECONDS = 10.0
"""The same for feedback that waited on disk, from when the database is back."""


class Deliverer:
    """Delivers what servers hand over to it, and what servers that ended have left.

    Attributes:
        journal: of this process: its files are the ones to deliver.
        behind: rows wait on disk for longer than a turn, so feedback waits there too.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self.journal = Journal(home.scratch / JOURNALS)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        # Waits for the disk alone, while the writer may wait for the database.
        self._keeper = ThreadPoolExecutor(max_workers=1, thread_name_prefix="keeper")
        self._syncing = threading.Lock()  # the journal's `sync` must not run beside its `seal`
        self._synced: set[Path] = set()
        self._pause = DELIVERY_SECONDS
        self.behind = False
        self._back_at = time.monotonic()

    async def feedback(self, feedback: Feedback) -> bool | None:
        """Store feedback: True if this call made the row, False if it was there, None if it waits on disk.

        Raises:
            ApiProblem: see `insert_feedback`; 503, it could not be kept at all.
        """
        made = await self._stored(feedback)
        if made is None:
            await asyncio.wrap_future(self._keeper.submit(self._keep, feedback))
        return made

    async def keep_delivering(self, turn: Callable[[], object]) -> None:
        """Deliver until cancelled; `turn` is called after each delivery, to have more handed over for the next."""
        looked = float("-inf")
        while True:
            look = time.monotonic() - looked > ADOPT_SECONDS
            if look:
                looked = time.monotonic()
            if look or self.behind or self.journal.waiting():
                await asyncio.wrap_future(self._writer.submit(self.deliver, look))
            turn()
            await asyncio.sleep(self._pause)

    def deliver(self, adopt: bool = False) -> None:
        """Deliver rows, the oldest first, as far as the database takes them.

        Args:
            adopt: also those of servers that ended.
        """
        try:
            if adopt:
                self.journal.adopt()
            with self._syncing:
                self.journal.seal()
            files = self.journal.waiting()
            self._sync(files)
            JOURNAL.set(sum(file.stat().st_size for file in files))
            with heard_within(SILENT_SECONDS):
                for file in files[:FILES_AT_ONCE]:
                    self._deliver_file(file)
        except Exception as error:
            self._note_away(error)
        else:
            self._note_back(more=len(files) > FILES_AT_ONCE)

    def close(self) -> None:
        """Deliver what can be delivered; the rest stays on disk for the next server."""
        self._keeper.shutdown(wait=True)
        hangs = wait([self._writer.submit(self.deliver, adopt=True)], CLOSE_SECONDS).not_done
        self._writer.shutdown(wait=not hangs, cancel_futures=True)
        if hangs:  # the writer still has the journal, which is free once the process has ended
            log.warning("the database is slow or hangs; what waits on disk is for the next server to deliver")
        else:
            self.journal.close()

    async def _stored(self, feedback: Feedback) -> bool | None:
        """Store feedback, whose answer's row may be on its way; None: the database is away.

        Raises:
            ApiProblem: see `insert_feedback`.
        """
        began, pause = time.monotonic(), LOOK_SECONDS
        while True:
            may_come = self._may_come(feedback, began)  # asked first: the answer may arrive while we look
            try:
                return await self._ask_writer(feedback)
            except ApiProblem as problem:
                if problem.code != UNKNOWN or not may_come or time.monotonic() - began > UNKNOWN_SECONDS:
                    raise
            await asyncio.sleep(pause)
            pause *= 2

    async def _ask_writer(self, feedback: Feedback) -> bool | None:
        if self.behind:  # known without the writer, who may be waiting for a database that hangs
            return None
        try:
            async with asyncio.timeout(FEEDBACK_SECONDS):
                return await asyncio.wrap_future(self._writer.submit(self._store, feedback))
        except TimeoutError:  # it may be stored all the same, and is not stored again then
            silence = f"the database has not answered for {FEEDBACK_SECONDS:g} s"
            self._note_away(TimeoutError(errno.ETIMEDOUT, silence))
            return None

    def _store(self, feedback: Feedback) -> bool | None:
        if not self.behind:
            self.deliver()  # its answer may be among what waits
        if self.behind:
            return None
        try:
            with heard_within(SILENT_SECONDS):
                return store_feedback(self._home, feedback, LOCK_SECONDS)
        except Exception as error:
            if isinstance(error, ApiProblem) or is_of_a_row(error):
                raise
            self._note_away(error)
        return None

    def _keep(self, feedback: Feedback) -> None:
        keep_feedback(self.journal, feedback, self._syncing)

    def _sync(self, files: list[Path]) -> None:
        """Bring files to the disk that were handed over: the database may be away for long."""
        fresh = [file for file in files if file not in self._synced]
        for path in [*fresh, self._home.scratch / JOURNALS] if fresh else []:
            sync(path)
        self._synced = set(files)

    def _deliver_file(self, file: Path) -> None:
        patience = AWAY_LOCK_SECONDS if self.behind else LOCK_SECONDS
        waits = False
        for rows in batches(file):
            for given, problem in deliver_rows(self._home, rows, patience):
                # It waited on disk, as its answer may still do, in another file.
                if self._may_come(given, self._back_at, file):
                    self.journal.append({"table": "feedback", **given.as_json()})
                    waits = True
                else:
                    give_up({"inference_id": given.inference_id}, problem)
        if waits:  # its sender was told that it is kept
            with self._syncing:
                self.journal.sync()
        file.unlink()

    def _may_come(self, given: Feedback, since: float, beside: Path | None = None) -> bool:
        """Whether the row of its answer may be on its way.

        On this machine it lies in a file that is there to be seen. A server on another shares no SQLite file with us,
        and is given `LATE_SECONDS`.
        """
        if self.journal.holds(given.received_at.timestamp(), beside):
            return True
        alone = self._home.database_url.startswith("sqlite")
        return not alone and time.monotonic() - since < LATE_SECONDS

    def _note_away(self, error: Exception) -> None:
        if not self.behind:
            log.warning("rows wait on disk, and are delivered later: %s", why(error))
        self.behind, self._pause = True, min(2 * self._pause, AWAY_SECONDS)

    def _note_back(self, more: bool) -> None:
        if self.behind and not more:
            log.info("the database takes rows again, and none waits any more")
            self._back_at = time.monotonic()
        self.behind, self._pause = more, DELIVERY_SECONDS


def keep_feedback(journal: Journal, feedback: Feedback, syncing: threading.Lock) -> None:
    """Return once feedback is on the disk.

    Args:
        journal: of this process.
        feedback: to be delivered later.
        syncing: keeps others from ending the journal's file meanwhile.

    Raises:
        ApiProblem: 503, it could not be kept.
    """
    row = {"table": "feedback", **feedback.as_json()}
    try:
        with syncing:
            journal.append(row)
            journal.sync()
    except OSError as error:
        give_up(row, error)
        message = "the feedback could not be kept; send it again"
        raise ApiProblem(503, message, code="not_stored") from error
