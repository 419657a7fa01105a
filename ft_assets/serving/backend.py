"""What the service asks of whatever answers: `EngineThread` in this process, or `VllmEngine` beside it."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol

from ft_assets.evaluation.decoding import Token
from ft_assets.evaluation.generation import Request


class Backend(Protocol):
    """One base and its adapters, ready to answer. Used from one event loop.

    Attributes:
        max_batch: requests up to which work in the background may join; may be changed at any time.
    """

    max_batch: int

    @property
    def alive(self) -> bool:
        """Whether requests are answered. A failure while this is False is no fault of the adapter that was asked."""
        ...

    async def add_adapter(self, name: str, folder: Path) -> None:
        """Load an adapter from a folder of `adapter_config.json` and `adapter_model.safetensors`.

        Raises:
            Exception: it cannot be loaded; the text says why.
        """
        ...

    async def drop_adapter(self, name: str) -> None:
        """Forget an adapter that nothing uses."""
        ...

    def stream(
        self, request: Request, background: bool = False, ahead: bool = False
    ) -> AsyncGenerator[Token, None]:
        """Tokens of one answer as they are made. Closing the iterator frees the request's place.

        Args:
            request: what to answer.
            background: nobody waits for it, so it gives way to everybody who does.
            ahead: it has waited before, so it goes before those who wait, however many they are.

        Raises:
            Busy: too many are waiting; in the background, no place is free or a user took it.
            EngineFailed: there is no answer, or no more of it.
        """
        ...

    async def stop(self) -> None:
        """Give up whatever runs, and let go of everything."""
        ...
