"""Every name that telemetry may carry: spans, their attributes, metrics, log fields.

What is not listed here cannot be recorded, so patient data cannot leak through a forgotten label. Attributes are
low-cardinality technical facts; a subject reference, a file name, a lead's samples or an error text of a decoder
have no key to travel under.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

__all__ = ["ATTRIBUTES", "LOG_FIELDS", "METRICS", "SPANS", "MetricSpec"]

#: Attribute key → what it holds.
ATTRIBUTES: Final[dict[str, str]] = {
    "rpc.system": "'grpc' or 'http'",
    "rpc.service": "full gRPC service name",
    "rpc.method": "gRPC method name",
    "rpc.grpc.status_code": "numeric gRPC status",
    "cardiomesh.reason": "machine-readable reason of an error",
    "cardiomesh.hop": "the part of the mesh that was called",
    "cardiomesh.model": "model name as published",
    "cardiomesh.model_version": "model version as published",
    "cardiomesh.arm": "why a model sees a recording: pinned, stable, canary, fallback, shadow or reference",
    "cardiomesh.change": "what was changed in the routing table",
    "cardiomesh.preprocessing_version": "version of the conditioning",
    "cardiomesh.format": "container format of the recording",
    "cardiomesh.windows": "number of ten-second windows",
    "cardiomesh.quality_grade": "overall grade",
    "cardiomesh.priority": "emergency, routine, batch or explanation",
    "cardiomesh.shed": "why a call was refused: queue, deadline, timeout or tenant",
    "cardiomesh.cache": "hit, miss, bypass or unavailable",
    "cardiomesh.finding": "statement code that was explained",
    "cardiomesh.method": "explanation method",
    "cardiomesh.outcome": "of a live window: answered, refused, behind or gap; of a trial: compared, dropped, failed",
    "http.route": "route template of the HTTP port",
    "http.status_code": "numeric HTTP status",
}

#: Span name → what it covers.
SPANS: Final[dict[str, str]] = {
    "client.call": "one call of the SDK",
    "rpc.server": "one call as its server saw it",
    "rpc.client": "one call to another part of the mesh",
    "cache.lookup": "look-up of an earlier result",
    "cache.store": "keeping a result",
    "prepare.decode": "file or numbers to recording",
    "prepare.condition": "recording to tensor",
    "prepare.measure": "delineation and measurements",
    "http.server": "one HTTP request",
}


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One instrument."""

    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_LATENCY_MS: Final = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)

METRICS: Final[dict[str, MetricSpec]] = {
    "rpc_duration": MetricSpec(
        "histogram",
        "ms",
        "Duration of calls as their server saw them.",
        ("rpc.method", "rpc.grpc.status_code"),
        _LATENCY_MS,
    ),
    "rpc_in_flight": MetricSpec("gauge", "{call}", "Calls being served now."),
    "hop_duration": MetricSpec(
        "histogram",
        "ms",
        "Duration of calls to other parts of the mesh.",
        ("cardiomesh.hop", "rpc.grpc.status_code"),
        _LATENCY_MS,
    ),
    "hop_retries": MetricSpec(
        "counter", "{call}", "Calls to other parts of the mesh that were tried again.", ("cardiomesh.hop",)
    ),
    "breakers_open": MetricSpec(
        "gauge", "{breaker}", "What is left alone for a while because it did not answer.", ("cardiomesh.hop",)
    ),
    "admission_limit": MetricSpec("gauge", "{call}", "Calls whose work may be under way at once, as found."),
    "admission_in_flight": MetricSpec("gauge", "{call}", "Calls whose work is under way."),
    "admission_waiting": MetricSpec("gauge", "{call}", "Calls that wait for their turn.", ("cardiomesh.priority",)),
    "admission_wait": MetricSpec(
        "histogram", "ms", "How long calls that had to wait for their turn did.", ("cardiomesh.priority",), _LATENCY_MS
    ),
    "calls_shed": MetricSpec(
        "counter", "{call}", "Calls refused before their work.", ("cardiomesh.priority", "cardiomesh.shed")
    ),
    "inference_latency": MetricSpec(
        "histogram",
        "ms",
        "Duration of one inference as the gateway saw it.",
        ("cardiomesh.model",),
        _LATENCY_MS,
    ),
    "routed_requests": MetricSpec(
        "counter",
        "{recording}",
        "Recordings that a model version answered, and why it was this one.",
        ("cardiomesh.model", "cardiomesh.model_version", "cardiomesh.arm"),
    ),
    "route_changes": MetricSpec(
        "counter",
        "{change}",
        "Changes of the routing table; automatic_rollback is the gateway's own.",
        ("cardiomesh.model", "cardiomesh.change"),
    ),
    "comparisons": MetricSpec(
        "counter",
        "{recording}",
        "Recordings that were to be seen by a second version, and what became of it.",
        ("cardiomesh.model", "cardiomesh.model_version", "cardiomesh.arm", "cardiomesh.outcome"),
    ),
    "trial_agreement": MetricSpec(
        "gauge",
        "1",
        "Statements that a version on trial calls as the stable one does.",
        ("cardiomesh.model", "cardiomesh.model_version", "cardiomesh.arm"),
    ),
    "trial_change": MetricSpec(
        "gauge",
        "1",
        "Mean absolute change of a probability under a version on trial.",
        ("cardiomesh.model", "cardiomesh.model_version", "cardiomesh.arm"),
    ),
    "trial_drift": MetricSpec(
        "gauge",
        "1",
        "Largest population stability index of a statement's probabilities under a version on trial.",
        ("cardiomesh.model", "cardiomesh.model_version", "cardiomesh.arm"),
    ),
    "cache_lookups": MetricSpec("counter", "{lookup}", "Cache look-ups by outcome.", ("cardiomesh.cache",)),
    "audit_commit_duration": MetricSpec(
        "histogram", "ms", "Duration of one transaction of the audit trail, many calls in it.", (), _LATENCY_MS
    ),
    "audit_waiting": MetricSpec("gauge", "{call}", "Calls that wait for their audit record."),
    "audit_unshipped": MetricSpec("gauge", "{record}", "Records that only the local journal has."),
    "audit_failures": MetricSpec("counter", "{transaction}", "Transactions of the audit trail that failed."),
    "recordings": MetricSpec(
        "counter", "{recording}", "Recordings prepared.", ("cardiomesh.format", "cardiomesh.quality_grade")
    ),
    "live_streams": MetricSpec("gauge", "{stream}", "Live recordings being analysed now."),
    "live_windows": MetricSpec(
        "counter", "{window}", "Windows of live recordings by what became of them.", ("cardiomesh.outcome",)
    ),
    "live_delay": MetricSpec(
        "histogram", "ms", "From a live window's last sample to its answer on the wire.", (), _LATENCY_MS
    ),
    "live_alarms": MetricSpec("counter", "{alarm}", "Alarms raised on live recordings.", ("cardiomesh.finding",)),
    "explanations": MetricSpec(
        "counter", "{part}", "Parts of explanations given.", ("cardiomesh.method", "cardiomesh.model")
    ),
}

#: Extra fields a log line may carry, beside time, level, logger, event, service and trace id.
LOG_FIELDS: Final[frozenset[str]] = frozenset(
    {
        "address",
        "attempt",
        "calls",
        "error_type",
        "frames",
        "hop",
        "method",
        "milliseconds",
        "missing",
        "model",
        "model_version",
        "reason",
        "seconds",
        "signal",
        "state",
        "status",
    }
)
