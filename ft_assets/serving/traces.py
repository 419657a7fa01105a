"""OpenTelemetry: one span for each answer, if an endpoint is set; else nothing.

Environment:
    OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: where spans go. The exporter is the package
        `opentelemetry-exporter-otlp-proto-http`, which must be installed then; other OTEL_ variables are its own.
"""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from opentelemetry import trace

from ft_assets.errors import BrokenEnvironment

if TYPE_CHECKING:
    from ft_assets.evaluation.decoding import Token
    from ft_assets.serving.answers import Answer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def set_up() -> None:
    """Send spans to where the environment says, if it says so.

    Raises:
        BrokenEnvironment: it does, and the exporter is not installed.
    """
    endpoint = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), None)
    if endpoint is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # pyright: ignore[reportMissingImports]
            OTLPSpanExporter,
        )
    except ImportError as error:
        raise BrokenEnvironment(
            f"traces are to go to {endpoint}; `pip install opentelemetry-exporter-otlp-proto-http`, or unset "
            f"{' and '.join(ENDPOINTS)}"
        ) from error
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": "ft_assets"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


async def followed(tokens: "AsyncGenerator[Token, None]", answer: "Answer") -> "AsyncGenerator[Token, None]":
    """The same tokens; the span says who answered, how long it took, and never what was said."""
    span = trace.get_tracer("ft_assets.serving").start_span("answer")
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
