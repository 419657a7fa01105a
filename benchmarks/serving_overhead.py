"""What the service costs an answer beside the model, in this process and beside a bare BentoML endpoint.

`python -m benchmarks.serving_overhead` prints the JSON alone; `python -m benchmarks serving` has it as `overhead_ms`.
`FT_ASSETS_BENCH_TURNS` is how many turns of 400 requests each endpoint gets (default 50).
"""

import asyncio
import http.client
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

_CALLS = 2_000
_PAUSE_SECONDS = 0.002
"""Between two answers of the loop: about as many a second as one processor serves of the tiny base."""
_BACKLOG = 20_000
_TURN, _WARM, _SETTLED = 400, 1_000, 10
"""Requests of a turn, which takes over two seconds; before the first turn; and before each, not counted."""
_PACE_SECONDS = 0.006
"""Before each request; with it a bare endpoint gets about as many requests a second as the tiny base answers."""
_RESAMPLES = 1_000
_TINY = {"name": "tiny-random", "hub": None, "package": None, "tiny": True}
MESSAGES = [{"role": "user", "content": "Write a one-line docstring.\n\ndef median(values): ..."}]


def measure() -> dict[str, Any]:
    """`{"routing_recording_and_metrics", "delivered_rows_per_s", "bare", "engine"}`: see the functions below."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        return {
            "routing_recording_and_metrics": on_the_loop(Path(folder) / "loop"),
            "delivered_rows_per_s": delivered_rows(Path(folder) / "backlog"),
            "bare": bare(Path(folder) / "bare"),
            "engine": engine(Path(folder) / "engine"),
        }


def on_the_loop(root: Path) -> dict[str, float]:
    """Milliseconds that the event loop spends on an answer's arm, counters and row, while rows are delivered."""
    from ft_assets.serving import metrics
    from ft_assets.serving.companion import Companion
    from ft_assets.serving.recording import Recorder
    from ft_assets.serving.routes import take_picture
    from ft_assets.storage.home import Home

    home = Home(root)
    picture = take_picture(home)

    def one(recorder: Recorder, number: int) -> None:
        picture.choose("base", f"user-{number}")
        metrics.count("base", "ok", 100, 24)
        metrics.observe("base", 1.0, 0.1)
        recorder.record(_interaction(number))

    async def all_of_them() -> list[float]:
        companion = Companion(home, lambda report: recorder.heard(report))
        recorder = Recorder(home, companion)
        companion.start()
        times = []
        for number in range(_CALLS):
            times.append(_seconds(lambda number=number: one(recorder, number)))
            await asyncio.sleep(_PAUSE_SECONDS)
        recorder.close()
        await companion.close()
        return times

    times = asyncio.run(all_of_them())
    assert _rows(home) == _CALLS, "every row arrives"
    return _quantiles(times)


def delivered_rows(root: Path) -> float:
    """Rows a second from the journal to the database, of a backlog."""
    from ft_assets.serving.deliverer import Deliverer
    from ft_assets.serving.recording import keep_answer
    from ft_assets.storage.home import Home

    home = Home(root)
    home.database  # noqa: B018 (migrated before the clock starts)
    deliverer = Deliverer(home)
    for number in range(_BACKLOG):
        keep_answer(deliverer.journal, _interaction(number))
    seconds = _seconds(deliverer.deliver)
    assert _rows(home) == _BACKLOG, "every row arrives"
    deliverer.close()
    return round(_BACKLOG / seconds)


def bare(root: Path) -> dict[str, Any]:
    """Milliseconds of a request to a bare BentoML endpoint, `without` and `with` the three; one process is both.

    `paced` waits `_PACE_SECONDS` before each request, so that what happens four times a second falls on more than one
    of a hundred, and finds the caches cold. `at_once` does not.
    """
    found = {}
    for name, pause in (("paced", _PACE_SECONDS), ("at_once", 0.0)):
        home, digest = _home(root / name)
        with _serve(home, digest, "plain") as url:
            ways = {"without": (url, "off"), "with": (url, "on")}
            times = _take_turns(url, ways, pause)
        found[name] = _told(home, times, "with")
    return found


def engine(root: Path) -> dict[str, Any]:
    """Milliseconds of a request for one token of the tiny random base.

    `bare` is an endpoint that does nothing but ask the engine, `stripped` is ours without the three, in one process
    with `ours`.
    """
    home, digest = _home(root)
    with _serve(home, digest, "switched") as ours, _serve(home, digest, "bare") as other:
        ways = {"bare": (other, "off"), "stripped": (ours, "off"), "ours": (ours, "on")}
        times = _take_turns(ours, ways, 0.0)
    return _told(home, times, "ours")


def _home(root: Path) -> tuple[Any, str]:
    from ft_assets.bases.base_models import prepare_base
    from ft_assets.recipe import Base
    from ft_assets.storage.home import Home

    home = Home(root)
    digest, _ = prepare_base(home, Base.model_validate(_TINY))
    return home, digest


@contextmanager
def _serve(home: Any, digest: str, name: str) -> Iterator[str]:
    from ft_assets.serving import launch

    service = f"benchmarks.{name}_service:Service"
    with patch.object(launch, "_SERVICE", service), launch.Server(home, digest) as server:
        yield server.url


def _take_turns(ours: str, ways: dict[str, tuple[str, str]], pause: float) -> dict[str, Any]:
    """Seconds of each request, an array of turns for each way.

    The companion runs while ours is `on`, in its turns alone: nobody else pays for what it does, and it leaves nothing
    undone.

    Args:
        ours: URL of the endpoint that is switched.
        ways: the URL that is asked, and how ours is switched meanwhile.
        pause: seconds before each request.
    """
    import numpy as np

    turns = int(os.environ.get("FT_ASSETS_BENCH_TURNS", "50"))
    connections = {
        url: http.client.HTTPConnection(urlsplit(url).netloc) for url, _ in [(ours, ""), *ways.values()]
    }
    times: dict[str, list[list[float]]] = {name: [] for name in ways}
    for connection in connections.values():
        for _ in range(_WARM):
            _ask(connection, 0.0)
    dealt = random.Random(0)
    for _ in range(turns):
        for name in dealt.sample(list(ways), len(ways)):
            url, state = ways[name]
            _post(connections[ours], f"/benchmark/{state}")
            some = [_ask(connections[url], pause) for _ in range(_SETTLED + _TURN)]
            times[name].append(some[_SETTLED:])
    _post(connections[ours], "/benchmark/on")
    return {name: np.array(taken) for name, taken in times.items()}


def _told(home: Any, times: dict[str, Any], name: str) -> dict[str, Any]:
    """Quantiles, and what `name`, which alone recorded rows, adds to those of the others: see `_added`."""
    assert _rows(home) == _WARM + len(times[name]) * (_SETTLED + _TURN), "every row arrives"
    quantiles = {way: _quantiles(taken.ravel()) for way, taken in times.items()}
    others = [way for way in times if way != name]
    added = {f"{name}_over_{way}": _added(times[way], times[name]) for way in others}
    return {"requests_each": times[name].size, **quantiles, **added}


def _added(other: Any, ours: Any) -> dict[str, list[float]]:
    """What ours takes more, at each quantile: the estimate, and an interval of 95 % by drawing turns anew."""
    import numpy as np

    pairs, draws = np.array([other, ours]) * 1000, np.random.default_rng(0)
    drawn = [pairs[:, draws.integers(0, len(ours), len(ours))] for _ in range(_RESAMPLES)]
    added = {}
    for share in (50, 99):
        each = [np.diff(np.percentile(sample, share, axis=(1, 2)))[0] for sample in [pairs, *drawn]]
        ends = np.percentile(each[1:], [2.5, 97.5])
        added[f"p{share}"] = [round(float(value), 3) for value in (each[0], *ends)]
    return added


def _ask(connection: http.client.HTTPConnection, pause: float) -> float:
    """Seconds from the request to the answer's last byte, after a pause that does not count."""
    time.sleep(pause)
    body = {"model": "base", "messages": MESSAGES, "max_tokens": 1}
    return _seconds(lambda: _post(connection, "/v1/chat/completions", json.dumps(body)))


def _post(connection: http.client.HTTPConnection, path: str, body: str = "") -> None:
    connection.request("POST", path, body, {"content-type": "application/json"})
    response = connection.getresponse()
    told = response.read()
    assert response.status == 200, told


def _interaction(number: int) -> Any:
    from ft_assets.serving.recording import Interaction

    return Interaction(
        inference_id=f"chat-{number:032x}",
        model="base",
        address="base",
        rollout=None,
        user=None,
        messages=[{"role": "user", "content": "Write a docstring.\n\n" + "def median(values): ...\n" * 20}],
        answer="Return the middle one of the values.",
        slice="default",
        prompt_tokens=100,
        answer_tokens=24,
        latency_ms=1.0,
        error=None,
        created_at=datetime.now(UTC),
    )


def _rows(home: Any) -> int:
    import sqlalchemy as sa

    from ft_assets.storage.tables import interactions

    with home.database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(interactions))


def _seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        f"p{share}": round(ordered[int(share / 100 * (len(ordered) - 1))] * 1000, 3) for share in (50, 99)
    }


if __name__ == "__main__":
    json.dump(measure(), sys.stdout, indent=2)
    print()
