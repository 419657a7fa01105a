"""Short ways to write rows for the curation tests."""

import re
from datetime import UTC, datetime
from typing import Any

from ft_assets.curation.words import fold
from ft_assets.sources.example import Example, Message

UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"


def chat(*turns: str, **fields: Any) -> Example:
    """A conversation of user and assistant in turn, the last one an answer."""
    roles = ["assistant", "user"] * len(turns)
    pairs = zip(roles, reversed(turns), strict=False)
    messages = tuple(
        reversed([Message.model_validate({"role": role, "content": text}) for role, text in pairs])
    )
    settings = {"source": "test", "license": "MIT", "created_at": datetime(2026, 1, 1, tzinfo=UTC), **fields}
    return Example(messages=messages, **settings)


def words(start: int, count: int) -> str:
    """`count` different words, numbered from `start`."""
    return " ".join(f"word{number}" for number in range(start, start + count))


def gram_set(text: str) -> frozenset[tuple[str, ...]]:
    """Word 3-grams of a text, told the slow and plain way."""
    told = re.findall(f"[{UNSPACED}]|[^\\W{UNSPACED}]+", fold(text)) or ["".join(text.split())]
    return frozenset(tuple(told[start : start + 3]) for start in range(max(1, len(told) - 2)))


def jaccard(a: frozenset, b: frozenset) -> float:
    """Shared members over all members; 1 if there are none."""
    return len(a & b) / len(a | b) if a | b else 1.0
