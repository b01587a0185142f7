"""Ask a process whether it is ready. Every question has a short timeout and never raises."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2

from cardiomesh.local.plan import Probe

__all__ = ["model_states", "ready"]

_TIMEOUT: Final = 1.0
#: Serialised ``ServerReadyResponse{ready: true}`` of the KServe v2 protocol; saves its stubs as a dependency.
_KSERVE_READY: Final = b"\x08\x01"
_READINESS: Final = "readiness"


def ready(probe: Probe, timeout: float = _TIMEOUT) -> bool:
    """Whether it answers, and says yes."""
    try:
        match probe.kind:
            case "grpc-health":
                request = health_pb2.HealthCheckRequest(service=_READINESS)
                raw = _unary(probe.address, "/grpc.health.v1.Health/Check", request.SerializeToString(), timeout)
                answer = health_pb2.HealthCheckResponse.FromString(raw)
                return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
            case "triton":
                method = "/inference.GRPCInferenceService/ServerReady"
                return _unary(probe.address, method, b"", timeout) == _KSERVE_READY
            case "redis":
                return _ping(probe.address, timeout)
    except (OSError, grpc.RpcError):
        return False


def _unary(address: str, method: str, request: bytes, timeout: float) -> bytes:
    # A channel per question: a kept one backs off for seconds after the first refusal. A private subchannel
    # pool, because the shared one would hand the backing-off connection to the next channel.
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
    with grpc.insecure_channel(address, options=options) as channel:
        call: Any = channel.unary_unary(method)  # bytes in, bytes out
        answer: bytes = call(request, timeout=timeout)
        return answer


def _ping(address: str, timeout: float) -> bool:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")


def model_states(http_address: str, timeout: float = _TIMEOUT) -> dict[str, str] | None:
    """Each model of a Triton as ``NAME:VERSION`` -> ``READY`` or why not; None when it does not answer."""
    host, _, port = http_address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
    try:
        connection.request("POST", "/v2/repository/index", body=b"{}")
        answer: list[dict[str, Any]] = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return {
        f"{model['name']}:{model.get('version', '?')}": model["state"]
        if model.get("state") == "READY"
        else f"{model.get('state', 'UNAVAILABLE')}: {model.get('reason', 'no reason given')}"
        for model in answer
    }
