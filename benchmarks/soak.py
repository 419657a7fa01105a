"""A real service under steady load while its adapters swap: does anything fail, mix, or grow?

`python -m benchmarks.soak --minutes 20 [--base real]` prints `{"minutes", "requests", "failed", "mixed", "rss_mb",
"p95_ms", …}` and ends with 1 if an answer failed or was not that of the adapter that it names. Two models have four
releases each; every ten seconds each model's rollout moves (shadow, 25 %, 50 %, promoted or rolled back), and memory
has room for five of the eight adapters. Half of the answers are streamed. Somebody watches `/live.json` all along.

- `failed`: answers without status 200, or cut off, and failures of a challenger for which the champion stood in.
- `mixed`: answers at temperature 0 that differ from what the adapter they name says when it is asked alone.
- `rss_mb`: of all processes of the service; the slope is that of a least-squares line over the second half.
  BentoML keeps a timer of three minutes for each request (`FIRST_BYTE_SECONDS`), so only a run of over 6 can be flat.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import sqlalchemy as sa

from benchmarks.soak_stage import MODELS, Stage, build
from ft_assets.storage.tables import interactions

_LOAD = 0.8
_SWAP_SECONDS = 10.0
_SAMPLE_SECONDS = 2.0
_WATCH_SECONDS = 5.0
_CAPACITY_SECONDS = 15.0
_TOKENS = 16
_AT_ONCE = 48
"""Requests in flight at most, below what the service lets wait: a machine that others slow down gets less load."""
_TOPICS = ("sums", "names", "dates", "paths", "bytes", "lines")
PROMPTS = [f"Say in one line what a function that returns {topic} does." for topic in _TOPICS]


@dataclass
class Seen:
    """What the users saw. `expected`: (address, prompt) -> the answer when asked alone."""

    expected: dict[tuple[str, str], str] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    failed: int = 0
    mixed: int = 0
    rss: list[tuple[float, float]] = field(default_factory=list)

    def hear(self, prompt: str, address: str, text: str, seconds: float) -> None:
        """One whole answer."""
        self.latencies.append(seconds)
        self.mixed += text != self.expected[address, prompt]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="A service under load while its adapters swap.")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--base", choices=("tiny", "real"), default="tiny")
    asked = parser.parse_args()
    found = measure(asked.minutes, asked.base)
    print(json.dumps(found, indent=2))
    sys.exit(1 if found["failed"] or found["mixed"] else 0)


def measure(minutes: float, base: Any) -> dict[str, Any]:
    """See the module."""
    from ft_assets.serving.launch import Server

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        stage = build(Path(folder) / "home", base)
        os.environ["FT_ASSETS_ADAPTER_MB"] = str(stage.adapter_mb)
        with Server(stage.home, stage.base) as server:
            seen, capacity = asyncio.run(_soak(server.url, stage, 60 * minutes))
        return {"minutes": minutes, **_figures(seen, stage, capacity)}


def _figures(seen: Seen, stage: Stage, capacity: float) -> dict[str, Any]:
    broken = sa.select(sa.func.count()).where(interactions.c.error.is_not(None))
    with stage.home.database.read() as connection:
        hidden = connection.scalar(broken) or 0
    times, sizes = np.array(seen.rss[len(seen.rss) // 2 :]).T
    slope = float(np.polyfit(times, sizes, 1)[0]) * 3600
    return {
        "requests": len(seen.latencies) + seen.failed,
        "failed": seen.failed + hidden,
        "mixed": seen.mixed,
        "rss_mb": {
            "start": round(sizes[0], 1),
            "end": round(sizes[-1], 1),
            "slope_mb_per_hour": round(slope, 1),
        },
        "p95_ms": round(float(np.percentile(seen.latencies, 95)) * 1000, 1),
        "capacity_per_s": round(capacity, 1),
        "swaps": stage.swaps,
    }


async def _soak(url: str, stage: Stage, seconds: float) -> tuple[Seen, float]:
    seen = Seen()
    # A connection is given up before the server would: one that both end at once looks like an answer cut off.
    limits = httpx.Limits(max_connections=_AT_ONCE + 2, keepalive_expiry=2.0)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits, trust_env=False) as client:
        await _learn(client, stage, seen)
        stage.move()
        capacity = await _capacity(client)
        stop = asyncio.Event()
        beside = [
            asyncio.create_task(_every(_SWAP_SECONDS, stop, lambda: asyncio.to_thread(stage.move))),
            asyncio.create_task(_every(_SAMPLE_SECONDS, stop, lambda: _weigh(seen))),
            asyncio.create_task(_every(_WATCH_SECONDS, stop, lambda: _watch(client, seen))),
        ]
        await _load(client, seen, _LOAD * capacity, seconds)
        stop.set()
        await asyncio.gather(*beside)
    return seen, capacity


async def _learn(client: httpx.AsyncClient, stage: Stage, seen: Seen) -> None:
    """Ask every adapter alone; no two may give the same answer, else a mixed one would not be noticed."""
    addresses = ["base", *(address for model in MODELS for address in stage.releases[model])]
    for prompt in PROMPTS:
        for address in addresses:
            seen.expected[address, prompt] = (await _ask(client, address, prompt, "", False))[1]
        if len({seen.expected[address, prompt] for address in addresses}) < len(addresses):
            sys.exit(f"two adapters give the same answer to {prompt!r}; the soak could not tell them apart")


async def _capacity(client: httpx.AsyncClient) -> float:
    """Answers a second with as many users as two batches hold, who ask again as soon as they are answered."""
    end, done = time.monotonic() + _CAPACITY_SECONDS, 0

    async def user(number: int) -> None:
        nonlocal done
        while time.monotonic() < end:
            await _ask(
                client, random.choice(MODELS), random.choice(PROMPTS), f"user-{number}", number % 2 == 0
            )
            done += 1

    began = time.monotonic()
    await asyncio.gather(*(user(number) for number in range(16)))
    return done / (time.monotonic() - began)


async def _load(client: httpx.AsyncClient, seen: Seen, rate: float, seconds: float) -> None:
    """Users who come by chance, at `rate` a second."""
    places, end, at = asyncio.Semaphore(_AT_ONCE), time.monotonic() + seconds, time.monotonic()
    async with asyncio.TaskGroup() as group:
        while (now := time.monotonic()) < end:
            at = max(at, now - 1.0) + random.expovariate(rate)
            await asyncio.sleep(at - now)
            await places.acquire()
            group.create_task(_user(client, seen, places))


async def _user(client: httpx.AsyncClient, seen: Seen, places: asyncio.Semaphore) -> None:
    prompt, user = random.choice(PROMPTS), f"user-{random.randrange(1000)}"
    began = time.perf_counter()
    try:
        address, text = await _ask(client, random.choice(MODELS), prompt, user, random.random() < 0.5)
    except (httpx.HTTPError, ValueError) as error:
        seen.failed += 1
        print(f"failed: {type(error).__name__} {error}", file=sys.stderr)
    else:
        seen.hear(prompt, address, text, time.perf_counter() - began)
    finally:
        places.release()


async def _ask(
    client: httpx.AsyncClient, model: str, prompt: str, user: str, stream: bool
) -> tuple[str, str]:
    """(address, text) of one answer.

    Raises:
        httpx.HTTPError: no status 200, or cut off.
        ValueError: header and body name different adapters, or a stream has no end.
    """
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": _TOKENS}
    given = await client.post("/v1/chat/completions", json={**body, "user": user, "stream": stream})
    given.raise_for_status()
    if stream:
        *events, end = [line[6:] for line in given.text.splitlines() if line.startswith("data: ")]
        parts = [json.loads(event) for event in events]
        names = {part["model"] for part in parts}
        text = "".join(part["choices"][0]["delta"].get("content", "") for part in parts)
    else:
        whole = given.json()
        names, text, end = {whole["model"]}, whole["choices"][0]["message"]["content"], "[DONE]"
    if names != {given.headers["x-ft-adapter"]} or end != "[DONE]":
        raise ValueError(f"header names {given.headers['x-ft-adapter']}, body {names}, and it ends by {end}")
    return names.pop(), text


async def _weigh(seen: Seen) -> None:
    family = psutil.Process().children(recursive=True)
    seen.rss.append((time.monotonic(), sum(_rss(process) for process in family) / 2**20))


def _rss(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


async def _watch(client: httpx.AsyncClient, seen: Seen) -> None:
    seen.failed += (await client.get("/live.json")).status_code != 200


async def _every(seconds: float, stop: asyncio.Event, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Work again and again until `stop` is set."""
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), seconds)
        except TimeoutError:
            await work()


if __name__ == "__main__":
    main()
