"""What `/metrics` tells: our counters, by the address that answered, beside prometheus_client's own of the process.

One process counts and is asked, so memory will do. BentoML has prometheus_client count in mapped files, for several
processes: those would kill the server when its disk is full, and BentoML's own metrics have a label for every path
that anybody ever asked for.
"""

import os
from functools import cache
from typing import Any, TypeVar

os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)  # read when prometheus_client is imported

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from starlette.responses import Response

Metric = TypeVar("Metric", Counter, Histogram)

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

REQUESTS = Counter("ft_assets_requests", "Chat requests, by what answered and how.", ["address", "status"])
ANSWER_TOKENS = Counter("ft_assets_answer_tokens", "Tokens generated.", ["address"])
PROMPT_TOKENS = Counter("ft_assets_prompt_tokens", "Tokens read.", ["address"])
LATENCY = Histogram("ft_assets_latency_seconds", "From request to last token.", ["address"], buckets=_SECONDS)
FIRST_TOKEN = Histogram(
    "ft_assets_first_token_seconds", "From request to first token.", ["address"], buckets=_SECONDS
)
BATCH_SIZE = Histogram("ft_assets_batch_size", "Requests decoded together.", buckets=(1, 2, 4, 8, 16, 32, 64))
WAITING = Gauge("ft_assets_waiting_requests", "Waiting for the engine.")
ADAPTERS = Gauge("ft_assets_loaded_adapters", "Adapters in memory.")
FALLBACKS = Counter("ft_assets_fallbacks", "Answered by the champion for a broken challenger.", ["address"])
RECORDING_FAILURES = Counter("ft_assets_recording_failures", "Answers that could not be recorded.")
JOURNAL = Gauge("ft_assets_journal_bytes", "Rows on disk that wait for the database.")
SHADOWS = Counter(
    "ft_assets_shadows", "Mirrored requests, by the challenger and how it went.", ["address", "status"]
)
CROWDED = Counter(
    "ft_assets_crowded_connections",
    "Connections that were closed to make room, and requests refused with 503, because all places were taken.",
    ["outcome"],
)
FEEDBACK = Counter("ft_assets_feedback", "Feedback stored, by kind.", ["address", "kind"])


def page() -> Response:
    """All of them, as Prometheus reads them."""
    return Response(generate_latest(), headers={"content-type": CONTENT_TYPE_LATEST})


def count(address: str, status: str, prompt_tokens: int, answer_tokens: int) -> None:
    """Count one answered request."""
    _of(REQUESTS, address, status).inc()
    _of(PROMPT_TOKENS, address).inc(prompt_tokens)
    _of(ANSWER_TOKENS, address).inc(answer_tokens)


def observe(address: str, seconds: float, first_token_seconds: float | None) -> None:
    """Note how long one answer took."""
    _of(LATENCY, address).observe(seconds)
    if first_token_seconds is not None:
        _of(FIRST_TOKEN, address).observe(first_token_seconds)


@cache
def _of(metric: Metric, *labels: str) -> Metric:
    """What `labels` gives, found faster: it takes a lock and checks names each time."""
    return metric.labels(*labels)


Counted = dict[tuple[str, ...], float]
_BESIDE = {"recording_failures": RECORDING_FAILURES, "feedback": FEEDBACK, "journal_bytes": JOURNAL}
"""What a server's companion counts, for the server's page."""


def counted() -> list[list[Any]]:
    """What this process has counted, for another's `add`: names, labels and values."""
    families = [(name, family) for name, metric in _BESIDE.items() for family in metric.collect()]
    return [
        [[name, *sample.labels.values()], sample.value]
        for name, family in families
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


def add(told: list[list[Any]], before: Counted) -> Counted:
    """Add what another process has counted since `before`; returns what it has counted now."""
    now = {tuple(key): value for key, value in told}
    for (name, *labels), value in now.items():
        metric = _BESIDE[name].labels(*labels) if labels else _BESIDE[name]
        if isinstance(metric, Gauge):
            metric.set(value)
        else:
            metric.inc(value - before.get((name, *labels), 0.0))
    return now
