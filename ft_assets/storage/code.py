"""Which code made an artifact."""

import hashlib
from functools import cache
from pathlib import Path


@cache
def code_digest() -> str:
    """Sha256 over the sorted (name, bytes) of every Python file of this package."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
