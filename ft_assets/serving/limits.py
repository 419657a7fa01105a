"""What one server takes at most, each from an environment variable.

Environment:
    FT_ASSETS_MAX_BODY_BYTES: of a request (default 1 MiB).
    FT_ASSETS_MAX_TOKENS: prompt and answer together (default 4096, or what the base has room for).
    FT_ASSETS_MAX_WAITING: requests that wait for the engine; more are turned away with 429 (default 64).
    FT_ASSETS_MAX_CONNECTIONS: from clients (default 512); see `connections.py` for what is beyond.
    FT_ASSETS_ADAPTER_MB: of adapters in memory (default 2048).
    FT_ASSETS_VLLM_URL: see `runtime.py`; beside vLLM a server needs more open files.
"""

import os
import resource
from dataclasses import dataclass

from ft_assets.errors import WrongInput

VLLM_ENV = "FT_ASSETS_VLLM_URL"
SPARE_CONNECTIONS = 16
"""Beyond the limit, for whoever watches the server while all other places are taken."""
OTHER_FILES = 256
"""What a server opens beside its connections: a few dozen for itself, and what adapters, journal and database take."""


@dataclass(frozen=True)
class Limits:
    """See the module."""

    body_bytes: int = 1 << 20
    tokens: int = 4096
    waiting: int = 64
    connections: int = 512
    adapter_bytes: int = 2048 << 20
    on_vllm: bool = False

    @property
    def files(self) -> int:
        """How many files a server may come to have open: without vLLM, the usual ones fit into the usual 1024."""
        # Each request that is answered has a connection to vLLM.
        asked = self.connections if self.on_vllm else 0
        return self.connections + SPARE_CONNECTIONS + asked + OTHER_FILES


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
        connections=_number("FT_ASSETS_MAX_CONNECTIONS", usual.connections),
        adapter_bytes=_number("FT_ASSETS_ADAPTER_MB", usual.adapter_bytes >> 20) << 20,
        on_vllm=bool(os.environ.get(VLLM_ENV)),
    )


def allow_files(limits: Limits) -> None:
    """Let this process, and those that it starts, open the files that a server needs: without one it accepts nobody.

    Raises:
        WrongInput: the system does not allow as many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= limits.files:
        return
    if hard != resource.RLIM_INFINITY and hard < limits.files:
        raise WrongInput(
            f"FT_ASSETS_MAX_CONNECTIONS={limits.connections} needs {limits.files} open files, and the system allows"
            f" {hard} (`ulimit -Hn`); set it lower, or raise that"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits.files, hard))


def _number(name: str, usual: int) -> int:
    text = os.environ.get(name) or str(usual)
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise WrongInput(f"{name}={text} is no positive whole number")
    return int(text)
