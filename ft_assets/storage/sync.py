"""Bringing a file or a folder's entries to the disk."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Return once the file's bytes, or the folder's names, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
