"""OpenTelemetry: one span for each answer, if an endpoint is set; else nothing.

Environment:
    OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: where spans go, as protobuf over HTTP. The other
        OTEL_ variables are the exporter's own.
"""

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace import TracerProvider

if TYPE_CHECKING:
    from ft_assets.evaluation.decoding import Token
    from ft_assets.serving.answers import Answer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def set_up() -> None:
    """Send spans to where the environment says, if it says so."""
    if not _wanted():
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "ft_assets"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def tear_down() -> None:
    """Send what has not been sent yet."""
    if isinstance(provider := trace.get_tracer_provider(), TracerProvider):
        provider.shutdown()


def followed(
    tokens: "AsyncGenerator[Token, None]", answer: "Answer", headers: Mapping[str, str]
) -> "AsyncGenerator[Token, None]":
    """The same tokens; the span, if there is one, says who answered, how long it took, and never what was said."""
    return _spanned(tokens, answer, headers) if _wanted() else tokens


def _wanted() -> bool:
    return any(os.environ.get(name) for name in ENDPOINTS)


async def _spanned(
    tokens: "AsyncGenerator[Token, None]", answer: "Answer", headers: Mapping[str, str]
) -> "AsyncGenerator[Token, None]":
    """The same tokens, within a span.

    It belongs to the trace that the client's headers name. (BentoML's own span around it is sampled at BentoML's rate,
    which is 0, and would take this one along.)
    """
    span = trace.get_tracer("ft_assets.serving").start_span("answer", context=extract(headers, Context()))
    try:
        async with aclosing(tokens) as given:
            async for token in given:
                yield token
    finally:
        span.set_attributes(
            {
                "gen_ai.request.model": answer.choice.model,
                "gen_ai.response.model": answer.address,
                "gen_ai.response.id": answer.inference_id,
                "gen_ai.usage.input_tokens": answer.prompt_tokens,
                "gen_ai.usage.output_tokens": answer.answer_tokens,
                "ft_assets.rollout": answer.rollout or "",
                "ft_assets.first_token_seconds": answer.first_token_seconds or 0.0,
            }
        )
        if answer.error is not None:
            span.set_status(trace.StatusCode.ERROR)
        span.end()
