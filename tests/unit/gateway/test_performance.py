"""What GetPerformance says is what was recorded, and nothing where nothing was."""

from __future__ import annotations

import pytest

from cardiomesh.chassis.series import Series
from gateway.performance import performance
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def series(clock: Clock) -> Series:
    return Series(clock)


def test_an_idle_gateway_has_windows_without_figures(series: Series) -> None:
    answer = performance(series)
    assert [window.seconds for window in answer.windows] == [60, 300, 900]
    assert answer.in_flight == 0
    for window in answer.windows:
        assert [len(window.methods), len(window.models), len(window.hops), window.refused] == [0, 0, 0, 0]
        assert not window.cache.HasField("hit_rate")


def test_calls_are_summed_by_method_over_their_statuses(series: Series, clock: Clock) -> None:
    for _ in range(99):
        series.observe("rpc_duration", 10.0, ("Analyze", 0))
    series.observe("rpc_duration", 500.0, ("Analyze", 14))
    series.observe("rpc_duration", 1.0, ("Explain", 8))
    clock.now = 50.0
    window = performance(series).windows[0]
    analyze, explain = window.methods
    assert (analyze.name, analyze.count, analyze.failed, analyze.max) == ("Analyze", 100, 1, 500.0)
    assert analyze.per_second == pytest.approx(2.0)
    assert analyze.mean == pytest.approx(14.9)
    assert [analyze.p50, analyze.p90, analyze.p99] == pytest.approx([10.0] * 3, rel=0.01)
    assert analyze.p999 == pytest.approx(500.0, rel=0.01)
    assert (explain.name, explain.failed, window.refused) == ("Explain", 1, 1)


def test_models_hops_cache_and_calls_in_flight(series: Series) -> None:
    series.gauge("rpc_in_flight", lambda: 3, ())
    series.observe("inference_latency", 4.0, ("hybrid_mobile",))
    series.observe("hop_duration", 5.0, ("triton", 4))
    series.observe("admission_wait", 7.0, ("routine",))
    for reason, count in (("queue", 2), ("tenant", 5)):
        series.count("calls_shed", ("batch", reason), count)
    for outcome, count in (("hit", 3), ("miss", 1)):
        series.count("cache_lookups", (outcome,), count)
    answer = performance(series)
    window = answer.windows[2]
    assert answer.in_flight == 3
    assert (window.models[0].name, window.models[0].HasField("failed")) == ("hybrid_mobile", False)
    assert (window.hops[0].name, window.hops[0].failed) == ("triton", 1)
    assert [(found.reason, found.count) for found in window.shed] == [("tenant", 5), ("queue", 2)]
    assert [(found.name, found.count) for found in window.waits] == [("routine", 1)]
    assert (window.cache.hits, window.cache.misses, window.cache.hit_rate) == (3, 1, 0.75)


def test_after_a_quiet_quarter_of_an_hour_nothing_is_left(series: Series, clock: Clock) -> None:
    series.observe("rpc_duration", 10.0, ("Analyze", 0))
    clock.now = 950.0
    assert not any(window.methods for window in performance(series).windows)
