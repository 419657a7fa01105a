"""Which adapters are in memory: those that are routed, and those that were asked for lately, within a budget."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ft_assets.errors import Refused
from ft_assets.serving.backend import Backend
from ft_assets.serving.deliverer import SILENT_SECONDS
from ft_assets.serving.limits import Limits
from ft_assets.serving.metrics import ADAPTERS
from ft_assets.serving.proof import check_proof
from ft_assets.storage.home import Home
from ft_assets.storage.postgres import heard_within
from ft_assets.storage.releases import Release

log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
"""How long an adapter that failed to load is not tried again."""


class AdapterUnavailable(Exception):
    """An adapter cannot be loaded; the text says why."""


class Adapters:
    """Loads adapters by the digest of their bytes, which are checked first. Used from one event loop.

    Args:
        home: holds the artifacts.
        engine: gets the adapters, each named by its digest.
        base_digest: the base in memory; an adapter of another base would answer nonsense.
        max_bytes: of adapters in memory. Beyond it the one used longest ago goes, routed or not; it comes back when it
            is asked for. What answers at this moment always stays.
        keep_seconds: how long an adapter that is no longer routed stays after its last use.
    """

    def __init__(
        self,
        home: Home,
        engine: Backend,
        base_digest: str,
        max_bytes: int = Limits.adapter_bytes,
        keep_seconds: float = 600.0,
    ) -> None:
        self._home = home
        self._engine = engine
        self._base = base_digest
        self._max_bytes = max_bytes
        self._keep_seconds = keep_seconds
        self._sizes: dict[str, int] = {}
        self._loads: dict[str, asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._failed_at: dict[str, float] = {}
        self._used_at: dict[str, float] = {}
        self._uses: Counter[str] = Counter()

    @asynccontextmanager
    async def using(self, release: Release) -> AsyncIterator[None]:
        """Keep a release's adapter in memory for the length of the block.

        Raises:
            AdapterUnavailable: its bytes are missing, changed, unproven, or do not fit the base.
        """
        digest = release.adapter_digest
        self._uses[digest] += 1
        try:
            await self.load(release)
            yield
        finally:
            self._uses[digest] -= 1
            self._used_at[digest] = time.monotonic()

    async def load(self, release: Release) -> None:
        """Load an adapter unless it is there; callers at the same time share one load.

        Raises:
            AdapterUnavailable: see `using`.
        """
        digest = release.adapter_digest
        task = self._loads.get(digest)
        if task is None or self._may_retry(digest, task):
            task = self._loads[digest] = asyncio.create_task(self._load(release))
        await asyncio.shield(task)  # one impatient caller must not cancel it for the others

    def follow(self, routed: Iterable[Release]) -> None:
        """Load what is routed and drop what nobody needs, in the background."""
        wanted = {release.adapter_digest: release for release in routed}
        for digest, release in wanted.items():
            if digest not in self._loads and digest not in self._sizes:
                self._in_background(
                    self.load(release)
                )  # once: what the budget drops comes back when it is asked for
        now = time.monotonic()
        for digest, task in list(self._loads.items()):
            idle = now - self._used_at.get(digest, now)
            if task.done() and digest not in wanted and not self._uses[digest] and idle > self._keep_seconds:
                self._sizes.pop(digest, None)
                self._in_background(self._drop(digest, self._loads.pop(digest)))

    async def settled(self) -> None:
        """Return when nothing that `follow` began is still going on."""
        await asyncio.gather(*self._background, return_exceptions=True)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if task.cancelled() or isinstance(error := task.exception(), AdapterUnavailable | None):
            return  # the log has said it
        log.error("%s", error)

    def _may_retry(self, digest: str, task: asyncio.Task[None]) -> bool:
        failed = task.done() and (task.cancelled() or task.exception() is not None)
        return failed and time.monotonic() - self._failed_at.get(digest, 0.0) > RETRY_SECONDS

    async def _load(self, release: Release) -> None:
        digest = release.adapter_digest
        try:
            folder = await asyncio.to_thread(self._checked, release)
            self._sizes[digest] = (folder / "adapter_model.safetensors").stat().st_size
            await self._engine.add_adapter(digest, folder)
        except Exception as error:
            self._failed_at[digest] = time.monotonic()
            log.error("%s cannot be loaded: %s", release.address, error)
            raise AdapterUnavailable(f"{release.address} cannot be loaded: {self._told(error)}") from error
        self._used_at[digest] = time.monotonic()
        ADAPTERS.inc()
        log.info("%s is loaded", release.address)
        self._shrink(digest)

    def _shrink(self, newest: str) -> None:
        """Drop what was used longest ago until the rest fits the budget."""
        idle = [
            digest
            for digest, task in self._loads.items()
            if digest != newest and task.done() and not self._uses[digest] and digest in self._sizes
        ]
        loaded = sum(self._sizes[digest] for digest in [*self._loads] if digest in self._sizes)
        for digest in sorted(idle, key=lambda digest: self._used_at.get(digest, 0.0)):
            if loaded <= self._max_bytes:
                return
            loaded -= self._sizes[digest]
            self._in_background(self._drop(digest, self._loads.pop(digest)))

    @heard_within(SILENT_SECONDS)
    def _checked(self, release: Release) -> Path:
        if release.base_digest != self._base:
            raise Refused(
                f"it belongs to base {release.base_digest[:12]}, and this server holds {self._base[:12]}"
            )
        check_proof(self._home, release)
        return self._home.artifacts.path("adapters", release.adapter_digest)

    def _told(self, error: Exception) -> str:
        """What callers may know of a failure: where this server keeps its files is for its log."""
        text = str(error)
        for folder in sorted((self._home.root, str(self._home.scratch)), key=len, reverse=True):
            text = text.replace(folder, "FT_ASSETS_HOME")
        return text

    async def _drop(self, digest: str, loaded: asyncio.Task[None]) -> None:
        if loaded.cancelled() or loaded.exception() is not None:
            return
        while digest not in self._loads:  # else it is wanted again
            try:
                await self._engine.drop_adapter(digest)
                break
            except Refused:  # what was given up leaves the batch with the next step
                await asyncio.sleep(0.1)
        ADAPTERS.dec()
        log.info("adapter %s is dropped", digest[:12])
