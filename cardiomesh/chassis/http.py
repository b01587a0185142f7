"""The HTTP port of a service: /healthz, /readyz, /metrics; the gateway adds its own routes."""

from __future__ import annotations

import logging
import math
from typing import Any, Final

import grpc
from aiohttp import web
from aiohttp.typedefs import Handler

from cardiomesh.chassis.health import Health
from cardiomesh.chassis.telemetry import Telemetry
from cardiomesh.errors import CardioMeshError, Overloaded, TooLarge, Unauthenticated, WrongMediaType
from cardiomesh.rpc.status import code_of

__all__ = ["OPERATIONS", "operations_app", "problem_of"]

log = logging.getLogger("cardiomesh.http")
#: Routes for kubelets and scrapers; they say nothing of patients.
OPERATIONS: Final = ("/healthz", "/readyz", "/metrics")

_PROBLEM: Final = "application/problem+json"
#: Where HTTP is more exact than gRPC.
_OWN_STATUS: Final[dict[type[CardioMeshError], int]] = {TooLarge: 413, WrongMediaType: 415}
_HTTP_STATUS: Final[dict[grpc.StatusCode, int]] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


def problem_of(error: CardioMeshError) -> tuple[dict[str, Any], int]:
    """An error as RFC 9457 says it, and its HTTP status."""
    status = next((s for cls, s in _OWN_STATUS.items() if isinstance(error, cls)), None) or _HTTP_STATUS.get(
        code_of(error), 500
    )
    violations = [{"field": v.field, "description": v.description, "reason": v.reason} for v in error.violations]
    return _members(error.reason, status, str(error)) | {"violations": violations}, status


def _members(reason: str, status: int, detail: str) -> dict[str, Any]:
    return {
        "type": f"urn:cardiomesh:error:{reason.lower()}",
        "title": reason.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
    }


def problem(error: CardioMeshError) -> web.Response:
    """An error as ``application/problem+json``."""
    body, status = problem_of(error)
    headers = {}
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Overloaded):
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    return web.json_response(body, status=status, headers=headers, content_type=_PROBLEM)


def _refusal(error: web.HTTPException) -> web.Response:
    """What the HTTP server itself refuses (no such path, no such verb), likewise."""
    title = error.reason or "error"
    body = _members(title.upper().replace(" ", "_"), error.status, f"{title.lower()}: see /openapi.json")
    kept = {name: value for name, value in error.headers.items() if name == "Allow"}
    return web.json_response(body | {"violations": []}, status=error.status, headers=kept, content_type=_PROBLEM)


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except CardioMeshError as error:
        return problem(error)
    except web.HTTPException as error:
        return _refusal(error)
    except Exception:
        log.exception("unexpected error", extra={"method": request.method})
        return problem(CardioMeshError("an unexpected error; its trace is in this service's log"))


def operations_app(health: Health, telemetry: Telemetry, max_body_bytes: int) -> web.Application:
    """The routes that every service has."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def readyz(_: web.Request) -> web.Response:
        missing = list(health.missing)
        return web.json_response({"ready": not missing, "missing": missing}, status=503 if missing else 200)

    async def metrics(request: web.Request) -> web.Response:
        body, content_type = telemetry.exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application(middlewares=[_problems], client_max_size=max_body_bytes)
    for path, route in zip(OPERATIONS, (healthz, readyz, metrics), strict=True):
        app.router.add_get(path, route)
    return app
