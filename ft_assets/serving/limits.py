"""What one server takes at most, each from an environment variable.

Environment:
    FT_ASSETS_MAX_BODY_BYTES: of a request (default 1 MiB).
    FT_ASSETS_MAX_TOKENS: prompt and answer together (default 4096, or what the base has room for).
    FT_ASSETS_MAX_WAITING: requests that wait for the engine; more are turned away with 429 (default 64).
    FT_ASSETS_ADAPTER_MB: of adapters in memory (default 2048).
"""

import os
from dataclasses import dataclass

from ft_assets.errors import WrongInput


@dataclass(frozen=True)
class Limits:
    """See the module."""

    body_bytes: int = 1 << 20
    tokens: int = 4096
    waiting: int = 64
    adapter_bytes: int = 2048 << 20


def read_limits() -> Limits:
    """The limits that the environment sets.

    Raises:
        WrongInput: a variable is no positive whole number.
    """
    usual = Limits()
    return Limits(
        body_bytes=_number("FT_ASSETS_MAX_BODY_BYTES", usual.body_bytes),
        tokens=_number("FT_ASSETS_MAX_TOKENS", usual.tokens),
        waiting=_number("FT_ASSETS_MAX_WAITING", usual.waiting),
        adapter_bytes=_number("FT_ASSETS_ADAPTER_MB", usual.adapter_bytes >> 20) << 20,
    )


def _number(name: str, usual: int) -> int:
    text = os.environ.get(name) or str(usual)
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise WrongInput(f"{name}={text} is no positive whole number")
    return int(text)
