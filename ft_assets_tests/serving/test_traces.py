"""Spans: only where an endpoint is set, and without what was said."""

import asyncio
import gzip
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ft_assets.evaluation.decoding import Token
from ft_assets.evaluation.generation import Request
from ft_assets.registry.routing import Arm
from ft_assets.serving import traces
from ft_assets.serving.answers import Answer
from ft_assets.serving.launch import Server
from ft_assets.serving.routes import DEFAULTS, Choice
from ft_assets.sources.example import Message
from ft_assets_tests.serving.conftest import PROMPT, Installation, until


def test_a_span_names_the_answer_and_not_what_was_said(monkeypatch: pytest.MonkeyPatch):
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    monkeypatch.setenv(traces.ENDPOINTS[0], "http://127.0.0.1:9")
    turns = [Message(role="user", content="a secret")]
    choice = Choice("m", Arm("m@1", "1"), None, None, DEFAULTS)
    answer = Answer(choice, turns, Request(turns, None, 3), 5, None, "default", 0.0, "chat-1")

    async def tokens() -> AsyncIterator[Token]:
        for number in range(2):
            token = Token(0, "hush", number, None)
            answer.add(token)
            yield token

    async def scenario() -> list[Token]:
        return [token async for token in traces.followed(cast(Any, tokens()), answer, {})]

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


class Collector(ThreadingHTTPServer):
    """Takes what an exporter sends; `spans` are those that came."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Collect)
        self.spans: list[Span] = []
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def take(self, body: bytes) -> None:
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]


class _Collect(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert isinstance(self.server, Collector)
        self.server.take(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_collector_gets_the_spans_of_a_real_server_and_its_clients_trace(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
):
    with Collector() as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with Server(installation.home, installation.base) as server:
            asked = [
                httpx.post(
                    f"{server.url}/v1/chat/completions",
                    json={"model": "base", "messages": PROMPT, "max_tokens": 3},
                    headers=headers,
                    timeout=60,
                )
                for headers in ({}, {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"})
            ]
        until(lambda: len(collector.spans) == 2)  # the server's end sends what is left
        collector.shutdown()
    told = [
        {each.key: each.value.string_value or each.value.int_value for each in span.attributes}
        for span in collector.spans
    ]
    assert [each["gen_ai.response.id"] for each in told] == [answer.json()["id"] for answer in asked]
    assert all(int(each["gen_ai.usage.output_tokens"]) > 0 for each in told)
    assert collector.spans[1].trace_id.hex() == "ab" * 16, "it belongs to the trace that the client began"
    assert not any(b"json.dumps" in body for body in collector.bodies)
