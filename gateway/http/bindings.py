"""Which HTTP request is which RPC: the one table, in the way of ``google.api.http``.

A new RPC is one line. How its body is read and its answer is written follows from the RPC's own descriptor: streams
of requests are lines of JSON, streams of answers are lines of JSON or server-sent events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor

__all__ = ["BINDINGS", "KSERVE_ROUTES", "PACKAGE", "Binding", "full_name", "method_of"]

PACKAGE: Final = "cardiomesh.gateway.v1"


@dataclass(frozen=True, slots=True)
class Binding:
    """One RPC as an HTTP request."""

    #: Service and method, in the gateway's package.
    rpc: str
    verb: str
    #: ``{field}`` in it fills that field of the request; without a body, so does the query.
    path: str
    #: The bytes field that a bare file, or a form's part ``file``, fills; of a stream of requests: chunk by chunk.
    file: str = ""
    #: The field of a stream's first request that the query fills, where a file follows it.
    start: str = ""
    #: The field of the answer that is the body; none: the whole answer.
    answer: str = ""


_FILE: Final = "recording.file.content"

BINDINGS: Final[tuple[Binding, ...]] = (
    Binding("CardioMesh/Analyze", "POST", "/v1/analyze", file=_FILE),
    Binding("CardioMesh/AnalyzeBatch", "POST", "/v1/analyze/batch"),
    Binding("CardioMesh/AnalyzeLong", "POST", "/v1/analyze/long", file="chunk", start="start"),
    Binding("CardioMesh/Explain", "POST", "/v1/explain", file=_FILE),
    Binding("CardioMesh/GetResult", "GET", "/v1/results/{result_id}", answer="result"),
    Binding("CardioMesh/ListModels", "GET", "/v1/models"),
    Binding("CardioMesh/GetModelCard", "GET", "/v1/models/{model}/card", answer="card_json"),
    Binding("CardioMesh/GetPerformance", "GET", "/v1/performance"),
    Binding("ModelAdmin/GetRoutes", "GET", "/v1/admin/routes"),
    Binding("ModelAdmin/SetCanary", "POST", "/v1/admin/routes/{name}/canary"),
    Binding("ModelAdmin/SetShadow", "POST", "/v1/admin/routes/{name}/shadow"),
    Binding("ModelAdmin/Promote", "POST", "/v1/admin/routes/{name}/promote"),
    Binding("ModelAdmin/Rollback", "POST", "/v1/admin/routes/{name}/rollback"),
    Binding("ModelAdmin/GetComparison", "GET", "/v1/admin/routes/{name}/comparison"),
)

_KSERVE: Final = "/inference.GRPCInferenceService/"
_MODEL: Final = "/v2/models/{model}"
_VERSION: Final = _MODEL + "/versions/{version}"

#: KServe's own paths → full gRPC method. They are forwarded, not transcoded.
KSERVE_ROUTES: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("GET", "/v2"): _KSERVE + "ServerMetadata",
        ("GET", "/v2/health/live"): _KSERVE + "ServerLive",
        ("GET", "/v2/health/ready"): _KSERVE + "ServerReady",
    }
    | {
        (verb, base + suffix): _KSERVE + method
        for base in (_MODEL, _VERSION)
        for verb, suffix, method in (
            ("GET", "", "ModelMetadata"),
            ("GET", "/ready", "ModelReady"),
            ("GET", "/config", "ModelConfig"),
            ("GET", "/stats", "ModelStatistics"),
            ("POST", "/infer", "ModelInfer"),
        )
    }
)


def full_name(binding: Binding) -> str:
    """``/package.Service/Method``, as the policy table and gRPC call it."""
    return f"/{PACKAGE}.{binding.rpc}"


def method_of(binding: Binding) -> MethodDescriptor:
    """The RPC's descriptor; KeyError when no stub that was imported has it."""
    service, _, method = binding.rpc.partition("/")
    return descriptor_pool.Default().FindServiceByName(f"{PACKAGE}.{service}").methods_by_name[method]
