"""Short ways to write rows for the curation tests."""

from datetime import UTC, datetime
from typing import Any

from ft_assets.sources.example import Example, Message


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
