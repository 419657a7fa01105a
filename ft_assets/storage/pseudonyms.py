"""What people and groups are called in storage: never by their name, only by its keyed hash."""

import hashlib
import hmac


class Pseudonyms:
    """Hashes names with a key, so the hash means nothing where the key is not known.

    Args:
        key: secret bytes; `home.key("users")` for all that one installation stores.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, name: str | None) -> str | None:
        """64 hex digits, or None for nobody."""
        if not name:
            return None
        return hmac.new(self._key, name.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
