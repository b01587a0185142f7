"""What this gateway measured of itself over the last minutes, read from the series that /metrics shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import grpc

from cardiomesh._proto.gateway.v1 import gateway_pb2
from cardiomesh.chassis.series import WINDOWS_S, Recent, Series, Value

__all__ = ["performance"]

_OK = grpc.StatusCode.OK.value[0]
_EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
_STATUS = "rpc.grpc.status_code"


def performance(series: Series) -> gateway_pb2.GetPerformanceResponse:
    """The answer to GetPerformance."""
    answer = gateway_pb2.GetPerformanceResponse(
        in_flight=int(series.now("rpc_in_flight")), windows=[_window(series, seconds) for seconds in WINDOWS_S]
    )
    answer.measured_at.GetCurrentTime()
    return answer


def _window(series: Series, seconds: float) -> gateway_pb2.PerformanceWindow:
    observed = series.observed(seconds)
    calls = series.recent("rpc_duration", seconds, "rpc.method", _STATUS)
    hops = series.recent("hop_duration", seconds, "cardiomesh.hop", _STATUS)
    models = series.recent("inference_latency", seconds, "cardiomesh.model")
    shed = series.recent("calls_shed", seconds, "cardiomesh.shed")
    waits = series.recent("admission_wait", seconds, "cardiomesh.priority")
    lookups = series.recent("cache_lookups", seconds, "cardiomesh.cache")
    return gateway_pb2.PerformanceWindow(
        seconds=seconds,
        observed=observed,
        methods=_summaries(calls, observed),
        hops=_summaries(hops, observed),
        models=_summaries({(*labels, None): found for labels, found in models.items()}, observed),
        cache=_cache({outcome: found.count for (outcome,), found in lookups.items()}),
        shed=[
            gateway_pb2.ShedCount(reason=str(reason), count=found.count)
            for (reason,), found in sorted(shed.items(), key=lambda item: -item[1].count)
        ],
        waits=_summaries({(*labels, None): found for labels, found in waits.items()}, observed),
        refused=sum(found.count for (_, status), found in calls.items() if status == _EXHAUSTED),
    )


def _summaries(
    found: Mapping[tuple[Value | None, ...], Recent], observed: float
) -> Iterable[gateway_pb2.LatencySummary]:
    """One for each name, over all statuses, by name; status None is one that is not known."""
    whole: defaultdict[str, Recent] = defaultdict(Recent)
    failed: defaultdict[str, int] = defaultdict(int)
    for (name, status), part in found.items():
        whole[str(name)].join(part)
        if status is not None:
            failed[str(name)] += part.count if status != _OK else 0
    for name, part in sorted(whole.items()):
        yield gateway_pb2.LatencySummary(
            name=name,
            count=part.count,
            failed=failed.get(name),
            per_second=part.count / observed if observed > 0 else 0.0,
            mean=part.total / part.count,
            p50=part.percentile(0.5),
            p90=part.percentile(0.9),
            p99=part.percentile(0.99),
            p999=part.percentile(0.999),
            max=part.most,
        )


def _cache(lookups: Mapping[Value | None, int]) -> gateway_pb2.CacheUse:
    use = gateway_pb2.CacheUse(
        hits=lookups.get("hit", 0), misses=lookups.get("miss", 0), unavailable=lookups.get("unavailable", 0)
    )
    total = sum(lookups.values())
    if total:
        use.hit_rate = use.hits / total
    return use
