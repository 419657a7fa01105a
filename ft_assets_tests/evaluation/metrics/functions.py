"""Functions that a recipe might name."""

import sys
from typing import Any

LENGTH = 10


def length(prompt: str, answer: str, reference: str) -> float:
    return float(min(100, len(answer)))


def whole(prompt: str, answer: str, reference: str) -> int:
    """Says what it was given, as a number."""
    return 100 * (prompt == "p") + 10 * (answer == "a") + (reference == "r")


def broken(prompt: str, answer: str, reference: str) -> Any:
    """Fails as the answer says."""
    if answer == "raise":
        raise LookupError("no such key")
    if answer == "exit":
        sys.exit(3)
    return {"nan": float("nan"), "inf": float("inf"), "none": None, "text": "7", "below": -3.0}.get(answer, 5)
