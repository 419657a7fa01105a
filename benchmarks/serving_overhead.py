"""What the service costs an answer beside the model, in this process and beside a bare BentoML endpoint.

`python -m benchmarks.serving_overhead` prints the JSON alone; `python -m benchmarks serving` has it as `overhead_ms`.
All endpoints answer one token of the tiny random base, so that little but the service is measured.
"""

import asyncio
import http.client
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

_CALLS = 2_000
_PAUSE_SECONDS = 0.002
"""Between two answers of the loop: about as many a second as one processor serves of the tiny base."""
_BACKLOG = 20_000
_TURNS, _TURN, _WARM = 60, 200, 100
"""A turn is about a second, so that ours delivers its rows four times within its own."""
_REST_SECONDS = 0.8
"""Before each turn: ours has delivered its last rows by then, so that nobody else pays for that."""
_SERVICES = {
    "bare_bentoml": "benchmarks.bare_service:Service",
    "stripped": "benchmarks.stripped_service:Service",
}
_RESAMPLES = 1_000
_TINY = {"name": "tiny-random", "hub": None, "package": None, "tiny": True}
MESSAGES = [{"role": "user", "content": "Write a one-line docstring.\n\ndef median(values): ..."}]


def measure() -> dict[str, Any]:
    """`{"routing_recording_and_metrics", "delivered_rows_per_s", "endpoint"}`: see the functions below."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        return {
            "routing_recording_and_metrics": on_the_loop(Path(folder) / "loop"),
            "delivered_rows_per_s": delivered_rows(Path(folder) / "backlog"),
            "endpoint": endpoint(Path(folder) / "endpoint"),
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


def endpoint(root: Path) -> dict[str, Any]:
    """Milliseconds of a request through HTTP on loopback, in turns of three services with the same engine.

    `bare_bentoml` does nothing but ask the engine, `stripped` is ours without routing, recording and metrics. `added_*`
    are differences of the quantiles of ours, with intervals of 95 % by drawing turns anew.
    """
    from ft_assets.bases.base_models import prepare_base
    from ft_assets.recipe import Base
    from ft_assets.serving import launch
    from ft_assets.storage.home import Home

    home = Home(root)
    digest, _ = prepare_base(home, Base.model_validate(_TINY))
    with ExitStack() as stack:
        servers = {"ours": stack.enter_context(launch.Server(home, digest))}
        for name, service in _SERVICES.items():
            with patch.object(launch, "_SERVICE", service):
                servers[name] = stack.enter_context(launch.Server(home, digest))
        times = _take_turns({name: server.url for name, server in servers.items()})
    found = {name: _quantiles([each for turn in turns for each in turn]) for name, turns in times.items()}
    added = {f"over_{name}": _added(times[name], times["ours"]) for name in _SERVICES}
    return {"requests_each": _TURNS * _TURN, **found, **added}


def _take_turns(urls: dict[str, str]) -> dict[str, list[list[float]]]:
    connections = {name: http.client.HTTPConnection(urlsplit(url).netloc) for name, url in urls.items()}
    times: dict[str, list[list[float]]] = {name: [] for name in urls}
    for connection in connections.values():
        for _ in range(_WARM):
            _ask(connection)
    for number in range(_TURNS):
        # Who goes first changes, so that what the machine does beside cannot favour one.
        for name in sorted(connections, reverse=number % 2 == 1):
            time.sleep(_REST_SECONDS)
            times[name].append([_ask(connections[name]) for _ in range(_TURN)])
    return times


def _added(other: Sequence[Sequence[float]], ours: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    """What ours takes more, at each quantile: the estimate, and the ends of its interval."""
    import numpy as np

    pairs, draws = np.array([other, ours]) * 1000, np.random.default_rng(0)
    drawn = [pairs[:, draws.integers(0, len(ours), len(ours))] for _ in range(_RESAMPLES)]
    added = {}
    for share in (50, 99):
        each = [np.diff(np.percentile(sample, share, axis=(1, 2)))[0] for sample in [pairs, *drawn]]
        ends = np.percentile(each[1:], [2.5, 97.5])
        added[f"added_p{share}_ms"] = [round(float(value), 3) for value in (each[0], *ends)]
    return added


def _ask(connection: http.client.HTTPConnection) -> float:
    """Seconds from the request to the answer's last byte."""
    body = json.dumps({"model": "base", "messages": MESSAGES, "max_tokens": 1})
    began = time.perf_counter()
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    response = connection.getresponse()
    told = response.read()
    seconds = time.perf_counter() - began
    assert response.status == 200, told
    return seconds


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
