"""How often each API key may ask: a token bucket for each, in the memory of one server."""

import time
from collections.abc import Callable


class Rates:
    """Counts requests by key. A bucket holds a minute's worth, and fills evenly.

    Args:
        clock: seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str, per_minute: int) -> float:
        """Take one request out of a key's bucket; returns 0, or the seconds until there is one again."""
        now = self._clock()
        left, since = self._buckets.get(key, (float(per_minute), now))
        left = min(float(per_minute), left + (now - since) * per_minute / 60)
        if left < 1:
            self._buckets[key] = (left, now)
            return (1 - left) * 60 / per_minute
        self._buckets[key] = (left - 1, now)
        return 0.0
