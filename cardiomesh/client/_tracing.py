"""Spans of the SDK, where the caller has OpenTelemetry; nothing where not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

try:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:  # the SDK alone does not bring it
    trace = None  # type: ignore[assignment]

__all__ = ["traced"]

Metadata = tuple[tuple[str, str], ...]


@contextmanager
def traced(method: str, provider: Any, metadata: Metadata = ()) -> Iterator[Metadata]:
    """One ``client.call`` span around a call; yields the call's metadata with what carries the span's context on."""
    if trace is None:
        yield metadata
        return
    tracer = trace.get_tracer("cardiomesh.client", tracer_provider=provider)
    facts = {"rpc.system": "grpc", "rpc.method": method}
    with tracer.start_as_current_span(
        "client.call", kind=trace.SpanKind.CLIENT, attributes=facts, record_exception=False
    ):
        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier)
        yield (*metadata, *carrier.items())
