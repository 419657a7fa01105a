"""One installation's state: artifacts, operational database, secret, and scratch space.

Environment:
    FT_ASSETS_HOME: local folder or fsspec URL for artifacts (default `.ft_assets`).
    FT_ASSETS_DATABASE_URL: SQLAlchemy URL (default: SQLite in the home folder).
    FT_ASSETS_SCRATCH: local folder for checkpoints and drafts (default: in the home folder).
    FT_ASSETS_SECRET_FILE: file of 32 random bytes (default: made in the scratch folder on first use).
"""

import hashlib
import hmac
import os
import secrets
import tempfile
from functools import cached_property
from pathlib import Path

from ft_assets.errors import BrokenEnvironment
from ft_assets.storage.artifacts import ArtifactStore
from ft_assets.storage.database import Database


class Home:
    """Opens nothing until it is asked for.

    Args:
        root: local folder or fsspec URL; empty means `FT_ASSETS_HOME`, else `.ft_assets`.
    """

    def __init__(self, root: str | Path = "") -> None:
        chosen = str(root) or os.environ.get("FT_ASSETS_HOME") or ".ft_assets"
        self.root = chosen if "://" in chosen else str(Path(chosen).resolve())

    @cached_property
    def scratch(self) -> Path:
        """Local folder that survives a crash of the process, for work in progress."""
        default = Path(tempfile.gettempdir()) / "ft_assets" if "://" in self.root else Path(self.root)
        folder = Path(os.environ.get("FT_ASSETS_SCRATCH") or default)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BrokenEnvironment(
                f"cannot write to {folder} ({error.strerror}); set FT_ASSETS_HOME to a writable folder"
            ) from error
        return folder

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """The artifact store."""
        return ArtifactStore(self.root, self.scratch)

    @cached_property
    def database(self) -> Database:
        """The operational database, migrated."""
        return Database(self.database_url)

    @property
    def database_url(self) -> str:
        """Where the operational database is."""
        return os.environ.get("FT_ASSETS_DATABASE_URL") or f"sqlite:///{self.scratch / 'ft_assets.db'}"

    def environment(self) -> dict[str, str]:
        """What makes another process use the same."""
        return {
            "FT_ASSETS_HOME": self.root,
            "FT_ASSETS_SCRATCH": str(self.scratch),
            "FT_ASSETS_DATABASE_URL": self.database_url,
        }

    def key(self, purpose: str) -> bytes:
        """32 secret bytes for one purpose (signing, ledger, user ids), derived from the instance secret."""
        return hmac.new(self._secret, purpose.encode(), hashlib.sha256).digest()

    @cached_property
    def _secret(self) -> bytes:
        path = Path(os.environ.get("FT_ASSETS_SECRET_FILE") or self.scratch / "instance.secret")
        if not path.exists():
            _create_secret(path)
        secret = path.read_bytes()
        if len(secret) < 32:
            raise BrokenEnvironment(f"{path} must hold at least 32 random bytes, and holds {len(secret)}")
        return secret


def _create_secret(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_bytes(secrets.token_bytes(32))
    try:
        os.link(
            draft, path
        )  # unlike a rename, a link never replaces a secret that another process made first
    except FileExistsError:
        pass
    finally:
        draft.unlink()
