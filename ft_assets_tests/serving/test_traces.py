"""Spans: only where an endpoint is set, and without what was said."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ft_assets.errors import BrokenEnvironment
from ft_assets.evaluation.decoding import Token
from ft_assets.evaluation.generation import Request
from ft_assets.registry.routing import Arm
from ft_assets.serving import traces
from ft_assets.serving.answers import Answer
from ft_assets.serving.routes import DEFAULTS, Choice
from ft_assets.sources.example import Message


def test_a_span_names_the_answer_and_not_what_was_said(monkeypatch: pytest.MonkeyPatch):
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    turns = [Message(role="user", content="a secret")]
    choice = Choice("m", Arm("m@1", "1"), None, None, DEFAULTS)
    answer = Answer(choice, turns, Request(turns, None, 3), 5, None, "default", 0.0, "chat-1")

    async def tokens() -> AsyncIterator[Token]:
        for number in range(2):
            token = Token(0, "hush", number, None)
            answer.add(token)
            yield token

    async def scenario() -> list[Token]:
        return [token async for token in traces.followed(cast(Any, tokens()), answer)]

    assert len(asyncio.run(scenario())) == 2
    (span,) = kept.get_finished_spans()
    told = dict(span.attributes or {})
    assert (told["gen_ai.request.model"], told["gen_ai.response.id"]) == ("m", "chat-1")
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (5, 2)
    assert "secret" not in span.to_json() and "hush" not in span.to_json()


def test_nothing_is_set_up_without_an_endpoint(monkeypatch: pytest.MonkeyPatch):
    for name in traces.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    before = trace.get_tracer_provider()
    traces.set_up()
    assert trace.get_tracer_provider() is before


def test_an_endpoint_without_the_exporter_is_said(monkeypatch: pytest.MonkeyPatch):
    import sys

    monkeypatch.setenv(traces.ENDPOINTS[0], "http://127.0.0.1:4318/v1/traces")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(BrokenEnvironment, match="opentelemetry-exporter-otlp-proto-http"):
        traces.set_up()
