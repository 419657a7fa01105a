"""Who asks: a name that is never stored, only its keyed hash."""

import hashlib
import hmac

from ft_assets.storage.home import Home


class Users:
    """Hashes users with a key of this installation, so the hash means nothing elsewhere."""

    def __init__(self, home: Home) -> None:
        self._key = home.key("users")

    def hashed(self, user: str | None) -> str | None:
        """64 hex digits, or None for nobody."""
        if not user:
            return None
        return hmac.new(self._key, user.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
