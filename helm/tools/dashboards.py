"""Grafana's dashboards, on metrics that /metrics prints.

``python -m helm.tools.dashboards`` writes them, ``--check`` compares.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from helm.tools.values import CHART

__all__ = ["FOLDER", "build", "render"]

FOLDER: Final = CHART / "files" / "dashboards"
#: Grafana's grid is 24 columns wide.
_WIDTH, _HEIGHT = 12, 8
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_HERE: Final = 'namespace=~"$namespace"'


@dataclass(frozen=True, slots=True)
class Panel:
    """One time series panel: expressions with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    description: str = ""


def _quantile(q: float, metric: str, by: str, match: str = "") -> str:
    labels = ", ".join(filter(None, (_HERE, match)))
    return f"histogram_quantile({q}, sum by (le{by}) (rate({metric}_bucket{{{labels}}}[$__rate_interval])))"


def _rate(metric: str, by: str, match: str = "") -> str:
    labels = ", ".join(filter(None, (_HERE, match)))
    return f"sum by ({by}) (rate({metric}{{{labels}}}[$__rate_interval]))"


def _per_request(metric: str) -> str:
    """A mean of Triton's, by model."""
    return f"{_rate(metric, 'model')} / {_rate('nv_inference_request_success', 'model')}"


def _trial(figure: str) -> str:
    labels = "pod, cardiomesh_model, cardiomesh_model_version, cardiomesh_arm"
    return f"max by ({labels}) (cardiomesh_trial_{figure}{{{_HERE}}})"


_GATEWAY: Final = 'container="gateway"'
_RPC: Final = "cardiomesh_rpc_duration_milliseconds"
_HOP: Final = "cardiomesh_hop_duration_milliseconds"
_INFERENCE: Final = "cardiomesh_inference_latency_milliseconds"
_ANALYZE: Final = _GATEWAY + ', rpc_method="Analyze", rpc_grpc_status_code="0"'

MESH: Final = (
    Panel(
        "Calls of the gateway",
        "reqps",
        (
            (
                _rate(f"{_RPC}_count", "rpc_method, rpc_grpc_status_code", _GATEWAY),
                "{{rpc_method}} {{rpc_grpc_status_code}}",
            ),
        ),
        "By method and gRPC status; 0 is good, 3 a bad request, 8 refused as too many.",
    ),
    Panel(
        "Duration of Analyze",
        "ms",
        tuple((_quantile(q, _RPC, "", _ANALYZE), f"p{q * 100:g}") for q in (0.5, 0.9, 0.99)),
    ),
    Panel("Share of calls that fail by our fault", "percentunit", (("cardiomesh:errors:ratio5m", "{{namespace}}"),)),
    Panel("Calls in flight", "short", ((f"sum by (pod) (cardiomesh_rpc_in_flight{{{_HERE}}})", "{{pod}}"),)),
    Panel(
        "Duration by hop, p99",
        "ms",
        ((_quantile(0.99, _HOP, ", container, cardiomesh_hop"), "{{container}} → {{cardiomesh_hop}}"),),
    ),
    Panel(
        "Failing hops",
        "reqps",
        (
            (
                _rate(f"{_HOP}_count", "container, cardiomesh_hop", 'rpc_grpc_status_code=~"2|4|13|14|15"'),
                "{{container}} → {{cardiomesh_hop}}",
            ),
        ),
    ),
    Panel(
        "Refused before their work",
        "reqps",
        (
            (
                _rate("cardiomesh_calls_shed_total", "cardiomesh_priority, cardiomesh_shed"),
                "{{cardiomesh_priority}}: {{cardiomesh_shed}}",
            ),
        ),
        "By priority and reason: queue and timeout are overload, tenant is one tenant's rate.",
    ),
    Panel(
        "Admission limit",
        "short",
        (
            (f"sum by (pod) (cardiomesh_admission_limit{{{_HERE}}})", "{{pod}} limit"),
            (f"sum by (pod) (cardiomesh_admission_in_flight{{{_HERE}}})", "{{pod}} under way"),
            (f"sum by (pod) (cardiomesh_admission_waiting{{{_HERE}}})", "{{pod}} waiting"),
        ),
    ),
    Panel(
        "Wait for a turn, p99",
        "ms",
        (
            (
                _quantile(0.99, "cardiomesh_admission_wait_milliseconds", ", cardiomesh_priority"),
                "{{cardiomesh_priority}}",
            ),
        ),
        "Of the calls that had to wait.",
    ),
    Panel(
        "Left alone, and tried again",
        "short",
        (
            (f"sum by (cardiomesh_hop) (cardiomesh_breakers_open{{{_HERE}}})", "{{cardiomesh_hop}} open breakers"),
            (_rate("cardiomesh_hop_retries_total", "cardiomesh_hop"), "{{cardiomesh_hop}} retries per second"),
        ),
        "A breaker is open while a part does not answer: its callers are told so at once.",
    ),
    Panel(
        "Duration of one inference as the gateway sees it",
        "ms",
        tuple(
            (_quantile(q, _INFERENCE, ", cardiomesh_model"), f"{{{{cardiomesh_model}}}} p{q * 100:g}")
            for q in (0.5, 0.99)
        ),
    ),
    Panel(
        "Refused as too many",
        "reqps",
        ((_rate(f"{_RPC}_count", "pod", f'{_GATEWAY}, rpc_grpc_status_code="8"'), "{{pod}}"),),
    ),
    Panel(
        "Cache look-ups",
        "reqps",
        ((_rate("cardiomesh_cache_lookups_total", "cardiomesh_cache"), "{{cardiomesh_cache}}"),),
    ),
    Panel(
        "Recordings by quality",
        "reqps",
        ((_rate("cardiomesh_recordings_total", "cardiomesh_quality_grade"), "{{cardiomesh_quality_grade}}"),),
    ),
    Panel(
        "Audit: one transaction, p99",
        "ms",
        ((_quantile(0.99, "cardiomesh_audit_commit_duration_milliseconds", ""), "p99"),),
        "Many calls share one.",
    ),
    Panel(
        "Audit: records not in the store yet",
        "short",
        (
            (f"sum by (pod) (cardiomesh_audit_waiting{{{_HERE}}})", "{{pod}} waiting"),
            (f"sum by (pod) (cardiomesh_audit_unshipped{{{_HERE}}})", "{{pod}} in the journal"),
        ),
    ),
    Panel(
        "Answers by model version and arm",
        "reqps",
        (
            (
                _rate("cardiomesh_routed_requests_total", "cardiomesh_model, cardiomesh_model_version, cardiomesh_arm"),
                "{{cardiomesh_model}} {{cardiomesh_model_version}} {{cardiomesh_arm}}",
            ),
        ),
        "canary: on trial. fallback: what was to answer could not.",
    ),
    Panel(
        "Trials: agreement with the stable version",
        "percentunit",
        ((_trial("agreement"), "{{cardiomesh_model}} {{cardiomesh_model_version}} {{cardiomesh_arm}}"),),
        "Share of statements that both call alike on the same recordings; each pod has seen others.",
    ),
    Panel(
        "Trials: drift and change",
        "short",
        (
            (_trial("drift"), "{{cardiomesh_model}} {{cardiomesh_model_version}} index"),
            (_trial("change"), "{{cardiomesh_model}} {{cardiomesh_model_version}} mean |Δp|"),
        ),
        "The largest stability index of a statement, and the mean absolute change of a probability.",
    ),
    Panel(
        "Changes of the routing table",
        "short",
        (
            (
                "sum by (cardiomesh_model, cardiomesh_change) (increase(cardiomesh_route_changes_total{"
                + _HERE
                + "}[$__rate_interval]))",
                "{{cardiomesh_model}} {{cardiomesh_change}}",
            ),
        ),
    ),
    Panel(
        "Explanations",
        "reqps",
        (
            (
                _rate("cardiomesh_explanations_total", "cardiomesh_method, cardiomesh_model"),
                "{{cardiomesh_model}} {{cardiomesh_method}}",
            ),
        ),
    ),
)

TRITON: Final = (
    Panel("ECGs per second", "short", ((_rate("nv_inference_count", "model"), "{{model}}"),)),
    Panel(
        "ECGs per execution (batch size)",
        "short",
        ((f"{_rate('nv_inference_count', 'model')} / {_rate('nv_inference_exec_count', 'model')}", "{{model}}"),),
    ),
    Panel(
        "Mean duration of a request",
        "µs",
        (
            (
                _per_request("nv_inference_request_duration_us"),
                "{{model}}",
            ),
        ),
    ),
    Panel(
        "Mean time in the queue",
        "µs",
        (
            (
                _per_request("nv_inference_queue_duration_us"),
                "{{model}}",
            ),
        ),
    ),
    Panel("What autoscaling looks at: inference_latency_ms", "ms", ((f"inference_latency_ms{{{_HERE}}}", "{{pod}}"),)),
    Panel(
        "Requests that wait",
        "short",
        ((f"sum by (pod, model) (nv_inference_pending_request_count{{{_HERE}}})", "{{pod}} {{model}}"),),
    ),
    Panel("Failures", "reqps", ((_rate("nv_inference_request_failure", "model, reason"), "{{model}} {{reason}}"),)),
    Panel("CPU of the node", "percentunit", ((f"nv_cpu_utilization{{{_HERE}}}", "{{pod}}"),)),
    Panel(
        "GPU utilisation",
        "percentunit",
        ((f"nv_gpu_utilization{{{_HERE}}}", "{{pod}} {{gpu_uuid}}"),),
        "Empty on CPUs.",
    ),
    Panel(
        "GPU memory in use",
        "bytes",
        ((f"nv_gpu_memory_used_bytes{{{_HERE}}}", "{{pod}} {{gpu_uuid}}"),),
        "Empty on CPUs.",
    ),
)

DASHBOARDS: Final[dict[str, tuple[str, Sequence[Panel]]]] = {
    "cardiomesh": ("CardioMesh", MESH),
    "cardiomesh-triton": ("CardioMesh: Triton", TRITON),
}


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": {"x": number % 2 * _WIDTH, "y": number // 2 * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": _SOURCE, "expr": expr, "legendFormat": legend}
            for i, (expr, legend) in enumerate(panel.queries)
        ],
    }


def build(uid: str) -> dict[str, Any]:
    """One dashboard as Grafana imports it."""
    title, panels = DASHBOARDS[uid]
    namespaces = "label_values(cardiomesh_rpc_in_flight, namespace)"
    return {
        "uid": uid,
        "title": title,
        "tags": ["cardiomesh"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"},
                {
                    "name": "namespace",
                    "type": "query",
                    "label": "Namespace",
                    "datasource": _SOURCE,
                    "query": {"query": namespaces, "refId": "namespaces"},
                    "multi": True,
                    "includeAll": True,
                    "allValue": ".*",
                    "refresh": 2,
                },
            ]
        },
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def render(uid: str) -> str:
    """The file's text."""
    return json.dumps(build(uid), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    """Write, or with ``--check`` compare."""
    FOLDER.mkdir(exist_ok=True)
    for uid in DASHBOARDS:
        file = FOLDER / f"{uid}.json"
        if sys.argv[1:] == ["--check"]:
            if not file.is_file() or file.read_text(encoding="utf-8") != render(uid):
                sys.exit(f"{file.name} is not what helm/tools/dashboards.py says: make helm-docs")
        else:
            file.write_text(render(uid), encoding="utf-8")


if __name__ == "__main__":
    main()
