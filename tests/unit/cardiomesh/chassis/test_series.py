"""What a process knows of its own last minutes, and what Prometheus reads of it."""

from __future__ import annotations

import numpy as np
import pytest
from opentelemetry import trace
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from cardiomesh.chassis.schema import METRICS
from cardiomesh.chassis.series import Series
from cardiomesh.chassis.telemetry import Telemetry
from tests.clock import Clock

ANALYZE = ("Analyze", 0)
TRACE = 0x1234567890ABCDEF1234567890ABCDEF


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def series(clock: Clock) -> Series:
    return Series(clock)


def test_percentiles_are_within_one_percent(series: Series) -> None:
    values = np.random.default_rng(1).lognormal(2.0, 1.0, 5_000)
    for value in values:
        series.observe("rpc_duration", float(value), ANALYZE)
    found = series.recent("rpc_duration", 60, "rpc.method")["Analyze",]
    assert (found.count, found.most) == (5_000, values.max())
    assert found.total == pytest.approx(values.sum())
    for share in (0.5, 0.9, 0.99, 0.999, 1.0):
        assert found.percentile(share) == pytest.approx(np.quantile(values, share, method="inverted_cdf"), rel=0.0101)


def test_no_value_is_odd(series: Series) -> None:
    for value in (0.0, 1e-12, 1e9):
        series.observe("rpc_duration", value, ANALYZE)
    found = series.recent("rpc_duration", 60, "rpc.method")["Analyze",]
    assert found.percentile(0.5) < 1e-6
    assert found.percentile(1.0) == pytest.approx(1e9, rel=0.01)


def test_a_window_forgets_what_is_older(series: Series, clock: Clock) -> None:
    for k in range(200):
        series.observe("rpc_duration", 1.0 + k, ANALYZE)
        series.count("cache_lookups", ("hit",), 1)
        clock.now += 10.0
    for seconds, slices in ((60, 6), (300, 30), (900, 90)):
        assert series.recent("rpc_duration", seconds, "rpc.method")["Analyze",].count == slices
        assert series.recent("cache_lookups", seconds, "cardiomesh.cache")["hit",].count == slices
        assert seconds <= series.observed(seconds) < seconds + 10
    clock.now += 1_000.0
    assert series.recent("rpc_duration", 900, "rpc.method") == {}


def test_a_young_process_says_how_short_its_window_is(series: Series, clock: Clock) -> None:
    clock.now += 12.5
    assert series.observed(900) == pytest.approx(12.5)


def test_labels_are_joined_by_the_one_that_is_asked_for(series: Series) -> None:
    series.observe("rpc_duration", 1.0, ("Analyze", 0))
    series.observe("rpc_duration", 3.0, ("Analyze", 14))
    by_status = series.recent("rpc_duration", 60, "rpc.grpc.status_code")
    assert {code: found.count for code, found in by_status.items()} == {(0,): 1, (14,): 1}
    assert series.recent("rpc_duration", 60, "rpc.method")["Analyze",].total == 4.0


def test_a_sampled_trace_is_the_exemplar_of_its_bucket() -> None:
    telemetry = Telemetry("test")
    for flags, value in ((trace.TraceFlags.SAMPLED, 3.0), (trace.TraceFlags.DEFAULT, 300.0)):
        context = trace.SpanContext(TRACE, 1, True, trace.TraceFlags(flags))
        with trace.use_span(trace.NonRecordingSpan(context)):
            telemetry.observe("rpc_duration", value, {"rpc.method": "Analyze", "rpc.grpc.status_code": 0})
    body, content_type = telemetry.exposition("application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    samples = [s for family in openmetrics(body.decode()) for s in family.samples if s.exemplar]
    (only,) = samples
    assert (only.name, only.labels["le"]) == ("cardiomesh_rpc_duration_milliseconds_bucket", "5.0")
    assert (only.exemplar.labels, only.exemplar.value) == ({"trace_id": f"{TRACE:032x}"}, 3.0)
    telemetry.close()


def test_who_does_not_know_openmetrics_gets_plain_text() -> None:
    telemetry = Telemetry("test")
    telemetry.count("cache_lookups", {"cardiomesh.cache": "hit"})
    telemetry.gauge("rpc_in_flight", lambda: 3)
    for value in (0.4, 0.5, 7.0, 99_999.0):
        telemetry.observe("rpc_duration", value, {"rpc.method": "Analyze"})
    body, content_type = telemetry.exposition()
    assert content_type.startswith("text/plain")
    found = {(s.name, s.labels.get("le")): s for family in plain(body.decode()) for s in family.samples}
    assert found["cardiomesh_cache_lookups_total", None].labels == {"cardiomesh_cache": "hit"}
    assert found["cardiomesh_rpc_in_flight", None].value == 3
    buckets = [found["cardiomesh_rpc_duration_milliseconds_bucket", le].value for le in ("0.5", "5.0", "10.0", "+Inf")]
    assert buckets == [2, 2, 3, 4]
    assert found["cardiomesh_rpc_duration_milliseconds_count", None].value == 4
    telemetry.close()


def test_every_instrument_can_be_read() -> None:
    telemetry = Telemetry("test")
    assert len(list(plain(telemetry.exposition()[0].decode()))) == len(METRICS)
    telemetry.close()
