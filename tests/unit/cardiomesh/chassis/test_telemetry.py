"""Telemetry carries what the schema lists, and nothing else."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from cardiomesh.chassis.logs import JsonFormatter
from cardiomesh.chassis.schema import ATTRIBUTES, METRICS
from cardiomesh.chassis.telemetry import Telemetry, extract, inject
from cardiomesh.errors import InvalidRequest


def test_an_attribute_outside_the_schema_cannot_be_recorded(telemetry: Any) -> None:
    with pytest.raises(KeyError), telemetry.span("rpc.server", {"patient.name": "x"}):
        pass


def test_a_span_outside_the_schema_cannot_be_started(telemetry: Any) -> None:
    with pytest.raises(KeyError), telemetry.span("anything", {}):
        pass


def test_a_metric_takes_only_its_own_labels(telemetry: Any) -> None:
    with pytest.raises(KeyError):
        telemetry.count("cache_lookups", {"cardiomesh.model": "x"})


def test_metric_labels_are_attributes_of_the_schema() -> None:
    assert {label for spec in METRICS.values() for label in spec.attributes} <= ATTRIBUTES.keys()


def test_an_error_marks_its_span_with_the_reason_and_not_the_text(telemetry: Any, spans: Any) -> None:
    with pytest.raises(InvalidRequest), telemetry.span("rpc.server", {}):
        raise InvalidRequest("Maria Silva, MRN 12345")
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["cardiomesh.reason"] == "INVALID_REQUEST"
    assert "Maria" not in span.to_json()


def test_long_values_are_cut(telemetry: Any, spans: Any) -> None:
    with telemetry.span("rpc.server", {"rpc.method": "x" * 10_000}):
        pass
    (span,) = spans.get_finished_spans()
    assert len(span.attributes["rpc.method"]) == 128


TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize("sampled", [True, False])
def test_a_trace_goes_on_whether_it_is_recorded_or_not(telemetry: Any, spans: Any, sampled: bool) -> None:
    caller = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-0{sampled:d}"}
    with telemetry.span("rpc.server", {}, parent=extract(caller)), telemetry.span("rpc.client", {}):
        onward = inject()["traceparent"].split("-")
    assert onward[1] == TRACE
    assert onward[3] == f"0{sampled:d}"
    assert len(spans.get_finished_spans()) == 2 * sampled
    assert inject() == {}


def test_a_share_of_new_traces_is_recorded_and_the_next_hop_is_told() -> None:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry("test", span_processor=SimpleSpanProcessor(exporter), trace_ratio=0.0)
    with telemetry.span("rpc.server", {}, parent=extract({})), telemetry.span("rpc.client", {}):
        onward = inject()["traceparent"]
    telemetry.close()
    assert int(onward.rpartition("-")[2], 16) & 1 == 0
    assert exporter.get_finished_spans() == ()


def test_without_an_exporter_a_trace_goes_on_as_it_came() -> None:
    telemetry = Telemetry("test")
    caller = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "tracestate": "a=b"}
    with telemetry.span("rpc.server", {}, parent=extract(caller)):
        assert inject() == {"traceparent": caller["traceparent"]}  # the other one is free text
    telemetry.close()


def logged(message: str, **extra: Any) -> dict[str, Any]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("test"))
    logger = logging.Logger("isolated")
    logger.addHandler(handler)
    logger.info(message, **extra)
    line: dict[str, Any] = json.loads(stream.getvalue())
    return line


def test_a_log_line_keeps_listed_fields_and_drops_the_rest() -> None:
    line = logged("call failed", extra={"status": "NOT_FOUND", "patient_name": "Maria"})
    assert line["status"] == "NOT_FOUND"
    assert "Maria" not in json.dumps(line)


def test_an_exception_is_logged_by_type_and_place_without_its_text() -> None:
    try:
        raise ValueError("Maria Silva, MRN 12345")
    except ValueError:
        line = logged("unexpected error", exc_info=True)
    assert line["error_type"] == "ValueError"
    assert line["frames"]
    assert "Maria" not in json.dumps(line)


def test_arguments_of_a_message_are_left_out() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter("test"))
    logger = logging.Logger("isolated")
    logger.addHandler(handler)
    logger.info("read %s", "Maria Silva")
    assert "Maria" not in stream.getvalue()
