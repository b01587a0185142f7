"""OpenTelemetry traces and metrics of one service, limited to the names in ``schema``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Counter, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from cardiomesh.chassis.schema import ATTRIBUTES, METRICS, SPANS
from cardiomesh.errors import CardioMeshError

__all__ = ["Telemetry", "Value"]

Value = str | int | float | bool
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_MAX_VALUE: Final = 128


def _allowed(attributes: Mapping[str, Value]) -> dict[str, Value]:
    unknown = attributes.keys() - ATTRIBUTES.keys()
    if unknown:
        raise KeyError(f"not in the telemetry schema: {sorted(unknown)}")
    return {k: v[:_MAX_VALUE] if isinstance(v, str) else v for k, v in attributes.items()}


class Telemetry:
    """Spans and metrics of one service. No global state: tests make their own, with an in-memory processor."""

    def __init__(
        self,
        service: str,
        *,
        otlp_endpoint: str | None = None,
        trace_ratio: float = 1.0,
        span_processor: SpanProcessor | None = None,
    ) -> None:
        resource = Resource.create({"service.name": f"cardiomesh-{service}"})
        self._tracers = TracerProvider(
            resource=resource, sampler=ParentBased(TraceIdRatioBased(trace_ratio)), shutdown_on_exit=False
        )
        #: Where nobody listens no span is made: the caller's trace context still travels on.
        self._recording = span_processor is not None or bool(otlp_endpoint)
        if span_processor is not None:
            self._tracers.add_span_processor(span_processor)
        self._registry = CollectorRegistry()
        readers: list[MetricReader] = [PrometheusMetricReader(registry=self._registry)]
        if otlp_endpoint:
            base = otlp_endpoint.rstrip("/")
            self._tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{base}/v1/traces")))
            readers.append(PeriodicExportingMetricReader(OTLPMetricExporter(f"{base}/v1/metrics")))
        self._meters = MeterProvider(metric_readers=readers, resource=resource, shutdown_on_exit=False)
        self._meter = self._meters.get_meter("cardiomesh")
        self._tracer = self._tracers.get_tracer("cardiomesh")
        self._counters: dict[str, Counter] = {}
        self._histograms: dict[str, Histogram] = {}
        self._gauges: dict[str, list[tuple[Callable[[], int | float], dict[str, Value]]]] = {}
        self._make_instruments()

    @property
    def tracer_provider(self) -> TracerProvider:
        """For a client whose spans belong to the same exporter."""
        return self._tracers

    def _make_instruments(self) -> None:
        for key, spec in METRICS.items():
            name = f"cardiomesh.{key}"
            if spec.kind == "histogram":
                self._histograms[key] = self._meter.create_histogram(
                    name, spec.unit, spec.description, explicit_bucket_boundaries_advisory=spec.buckets
                )
            elif spec.kind == "counter":
                self._counters[key] = self._meter.create_counter(name, spec.unit, spec.description)

    @contextmanager
    def span(
        self,
        name: str,
        attributes: Mapping[str, Value],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: otel_context.Context | None = None,
    ) -> Iterator[Span]:
        """One span, current inside the block. An error marks it with its reason, never with its message."""
        if name not in SPANS:
            raise KeyError(f"not in the telemetry schema: span {name}")
        if not self._recording:
            _allowed(attributes)
            token = otel_context.attach(parent) if parent is not None else None
            try:
                yield trace.INVALID_SPAN
            finally:
                if token is not None:
                    otel_context.detach(token)
            return
        span = self._tracer.start_span(name, context=parent, kind=kind, attributes=_allowed(attributes))
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield span
            except BaseException as error:
                reason = error.reason if isinstance(error, CardioMeshError) else type(error).__name__
                span.set_attribute("cardiomesh.reason", reason)
                span.set_status(StatusCode.ERROR)
                raise

    def describe(self, span: Span, attributes: Mapping[str, Value]) -> None:
        """Add what became known only inside the span."""
        span.set_attributes(_allowed(attributes))

    def observe(self, metric: str, value: float, attributes: Mapping[str, Value] | None = None) -> None:
        """Record one value of a histogram."""
        self._histograms[metric].record(value, self._labels(metric, attributes))

    def count(self, metric: str, attributes: Mapping[str, Value] | None = None, by: int = 1) -> None:
        """Add to a counter."""
        self._counters[metric].add(by, self._labels(metric, attributes))

    def gauge(
        self, metric: str, read: Callable[[], int | float], attributes: Mapping[str, Value] | None = None
    ) -> None:
        """Have a gauge read whenever somebody looks: it costs the calls nothing. Once for each set of labels."""
        readers = self._gauges.setdefault(metric, [])
        readers.append((read, self._labels(metric, attributes)))
        if len(readers) == 1:
            spec = METRICS[metric]
            self._meter.create_observable_gauge(
                f"cardiomesh.{metric}",
                [lambda _: [Observation(read(), labels) for read, labels in readers]],
                spec.unit,
                spec.description,
            )

    @staticmethod
    def _labels(metric: str, attributes: Mapping[str, Value] | None) -> dict[str, Value]:
        labels = dict(attributes or {})
        unknown = labels.keys() - set(METRICS[metric].attributes)
        if unknown:
            raise KeyError(f"not in the telemetry schema: {metric} has no label {sorted(unknown)}")
        return labels

    def exposition(self) -> tuple[bytes, str]:
        """The metrics as Prometheus reads them, and their content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def close(self) -> None:
        """Flush and stop the exporters."""
        self._tracers.shutdown()
        self._meters.shutdown()


def extract(metadata: Mapping[str, str]) -> otel_context.Context:
    """The caller's W3C trace context."""
    return _PROPAGATOR.extract(metadata)


def inject() -> dict[str, str]:
    """The current W3C trace context, as metadata for the next hop."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier
