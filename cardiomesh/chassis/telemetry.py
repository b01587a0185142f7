"""OpenTelemetry traces and metrics of one service, limited to the names in ``schema``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import Token
from types import MappingProxyType, TracebackType
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from cardiomesh.chassis.schema import ATTRIBUTES, METRICS, SPANS
from cardiomesh.chassis.series import Series, Value, ordered
from cardiomesh.errors import CardioMeshError

__all__ = ["Telemetry", "Value"]

Context = otel_context.Context
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_NO_TRACE: Final = Context()
_MAX_VALUE: Final = 128
_NONE: Final[Mapping[str, Value]] = MappingProxyType({})


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
        #: What this process knows of itself, and what is read at /metrics.
        self.series = Series()
        self._registry = CollectorRegistry()
        self._registry.register(self.series)
        self._pushed: _Pushed | None = None
        if otlp_endpoint:
            base = otlp_endpoint.rstrip("/")
            self._tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{base}/v1/traces")))
            self._pushed = _Pushed(f"{base}/v1/metrics", resource)
        self._tracer = self._tracers.get_tracer("cardiomesh")

    @property
    def tracer_provider(self) -> TracerProvider:
        """For a client whose spans belong to the same exporter."""
        return self._tracers

    def span(
        self,
        name: str,
        attributes: Mapping[str, Value],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Context | None = None,
    ) -> AbstractContextManager[Span]:
        """One span, current inside the block. An error marks it with its reason, never with its message.

        Where nobody would see it (no exporter, or a trace that is not sampled) there is none, and costs none:
        ``parent`` is current instead, so that the trace goes on.
        """
        if not self._recording or _unsampled(parent):
            return _Unrecorded(parent)
        return self._recorded(name, attributes, kind, parent)

    @contextmanager
    def _recorded(
        self, name: str, attributes: Mapping[str, Value], kind: SpanKind, parent: Context | None
    ) -> Iterator[Span]:
        if name not in SPANS:
            raise KeyError(f"not in the telemetry schema: span {name}")
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
        if span.is_recording():
            span.set_attributes(_allowed(attributes))

    def observe(self, metric: str, value: float, attributes: Mapping[str, Value] = _NONE) -> None:
        """Record one value of a histogram."""
        self.series.observe(metric, value, _labels(metric, attributes))
        if self._pushed is not None:
            self._pushed.histograms[metric].record(value, attributes)

    def count(self, metric: str, attributes: Mapping[str, Value] = _NONE, by: int = 1) -> None:
        """Add to a counter; adding nothing makes it visible, so that its first event is seen as an increase."""
        self.series.count(metric, _labels(metric, attributes), by)
        if self._pushed is not None:
            self._pushed.counters[metric].add(by, attributes)

    def gauge(self, metric: str, read: Callable[[], int | float], attributes: Mapping[str, Value] = _NONE) -> None:
        """Have a gauge read whenever somebody looks: it costs the calls nothing. Once for each set of labels."""
        self.series.gauge(metric, read, _labels(metric, attributes))
        if self._pushed is not None:
            self._pushed.gauge(metric, read, attributes)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The metrics as Prometheus reads them, and their content type; OpenMetrics, with exemplars, where accepted."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def close(self) -> None:
        """Flush and stop the exporters."""
        self._tracers.shutdown()
        if self._pushed is not None:
            self._pushed.meters.shutdown()


class _Pushed:
    """The same instruments once more, for a collector that has to be sent to."""

    def __init__(self, endpoint: str, resource: Resource) -> None:
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(endpoint))
        self.meters = MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)
        self._meter = self.meters.get_meter("cardiomesh")
        self._gauges: dict[str, list[tuple[Callable[[], int | float], Mapping[str, Value]]]] = {}
        self.histograms = {
            key: self._meter.create_histogram(
                f"cardiomesh.{key}", spec.unit, spec.description, explicit_bucket_boundaries_advisory=spec.buckets
            )
            for key, spec in METRICS.items()
            if spec.kind == "histogram"
        }
        self.counters = {
            key: self._meter.create_counter(f"cardiomesh.{key}", spec.unit, spec.description)
            for key, spec in METRICS.items()
            if spec.kind == "counter"
        }

    def gauge(self, metric: str, read: Callable[[], int | float], attributes: Mapping[str, Value]) -> None:
        readers = self._gauges.setdefault(metric, [])
        readers.append((read, attributes))
        if len(readers) == 1:
            spec = METRICS[metric]
            self._meter.create_observable_gauge(
                f"cardiomesh.{metric}",
                [lambda _: [Observation(read(), labels) for read, labels in readers]],
                spec.unit,
                spec.description,
            )


def _labels(metric: str, attributes: Mapping[str, Value]) -> tuple[Value | None, ...]:
    """An instrument's labels in the schema's order; KeyError for one that it does not have."""
    spec = METRICS[metric]
    labels = ordered(spec, attributes)
    if len(labels) - labels.count(None) != len(attributes):
        unknown = sorted(attributes.keys() - spec.attributes)
        raise KeyError(f"not in the telemetry schema: {metric} has no label {unknown}")
    return labels


class _Unrecorded(AbstractContextManager[Span]):
    """In a span's place: makes the trace that a call belongs to current, and records nothing."""

    __slots__ = ("_parent", "_token")

    def __init__(self, parent: Context | None) -> None:
        self._parent = parent
        self._token: Token[Context] | None = None

    def __enter__(self) -> Span:
        if self._parent is not None:
            self._token = otel_context.attach(self._parent)
        return trace.INVALID_SPAN

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            otel_context.detach(self._token)


def _unsampled(parent: Context | None) -> bool:
    """Whether the trace is one of which somebody has already decided that it is not recorded."""
    context = trace.get_current_span(parent).get_span_context()
    return context.is_valid and not context.trace_flags.sampled


def extract(metadata: Mapping[str, str]) -> Context:
    """The caller's W3C trace context, empty where the caller sent none. Not its ``tracestate``: that is free text."""
    parent = metadata.get("traceparent")
    return _PROPAGATOR.extract({"traceparent": parent}, _NO_TRACE) if parent is not None else _NO_TRACE


def inject() -> dict[str, str]:
    """The current W3C trace context, as metadata for the next hop."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier
